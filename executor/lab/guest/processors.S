/* How another processor gets from where it starts, in real mode below 1 MiB, to C; see processors.h.
   The trampoline must never name an address of its own: it runs from a copy. */

    .section .rodata
    .global trampoline_start, trampoline_end
    .code16
trampoline_start:
    cli
    mov %cs, %ax                /* the copy's first paragraph */
    mov %ax, %ds
    lgdtl trampoline_pointer - trampoline_start
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $0x08, $processor_start
trampoline_pointer:
    .word 23                    /* three descriptors, those of boot.S */
    .long gdt
trampoline_end:

    .text
    .code32
processor_start:
    mov $0x10, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov %ecx, %fs
    mov %ecx, %gs
    mov %ecx, %ss
    mov $1, %ecx
    lock xadd %ecx, processors_awake
    mov %ecx, %eax              /* each has 256 bytes until it goes to its own page */
    shl $8, %eax
    lea first_stacks(%eax), %esp
    push %ecx
    push $0                     /* nowhere to return to */
    jmp processor_main

    .global run_on_page
run_on_page:
    mov 4(%esp), %eax
    mov 8(%esp), %ecx
    lea 4096(%eax), %esp
    push %eax
    call *%ecx
1:  cli
    hlt
    jmp 1b

    /* As the first processor's: nothing to do but to wake from hlt. */
    .global processor_interrupt
processor_interrupt:
    movl $0, 0xfee000b0         /* end of interrupt */
    iret

    .section .bss
    .balign 16
first_stacks:                   /* the first processor needs none here: the second's ends where the third's begins */
    .skip 256 * 8
    .section .note.GNU-stack, "", @progbits
