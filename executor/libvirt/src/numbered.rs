//! One macro for libvirt's many numbered enumerations.
//!
//! It exists so that a number from a newer daemon becomes `Other(number)`. It must never map an unknown
//! number to a known meaning, and it must never fail: these values arrive in callbacks that are not allowed
//! to.

/// Declares an enum whose named variants stand for numbers of libvirt's C interface and whose `Other` keeps
/// the rest.
macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $number:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A number that this version of Whimbrel has no name for.
            Other(i32),
        }

        impl From<i32> for $name {
            fn from(number: i32) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Other(other),
                }
            }
        }
    };
}

pub(super) use numbered;
