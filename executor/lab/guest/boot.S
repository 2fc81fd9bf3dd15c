/* Enters a guest: multiboot header, stack, segments, and the timer interrupt's stub.
   It must never enable an interrupt other than the timer's: none of the others has a handler. */

    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002            /* multiboot 1 magic */
    .long 0                     /* no flags: the command line is given anyway */
    .long -(0x1BADB002 + 0)

    .text
    .global start
start:
    cli
    mov $stack_top, %esp
    /* The loader's own descriptor table is gone by now; iret would fault without ours. */
    lgdt gdt_pointer
    ljmp $0x08, $1f
1:  mov $0x10, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov %ecx, %fs
    mov %ecx, %gs
    mov %ecx, %ss
    push %ebx                   /* address of the multiboot information */
    call guest_main
2:  cli
    hlt
    jmp 2b

    /* The handler has nothing to do but wake the processor from hlt. */
    .global timer_interrupt
timer_interrupt:
    push %eax
    mov $0x20, %al
    outb %al, $0x20             /* end of interrupt */
    pop %eax
    iret

    .section .data
    .balign 8
    .global gdt
gdt:
    .quad 0
    .quad 0x00CF9A000000FFFF    /* 0x08: flat code */
    .quad 0x00CF92000000FFFF    /* 0x10: flat data */
gdt_pointer:
    .word . - gdt - 1
    .long gdt

    .section .bss
    .balign 16
    .skip 16384
stack_top:
    .section .note.GNU-stack, "", @progbits
