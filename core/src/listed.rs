//! Lists of all values of an enum that cannot lack one.

/// Writes `ALL`, with the variants in the order in which they are declared. A variant that is missing, or stands in
/// another place, does not compile; so `value as usize` is always a index into a table of `ALL.len()` rows.
macro_rules! listed {
    ($(#[$about:meta])* $visibility:vis const ALL: $name:ident = [$($variant:ident),+ $(,)?];) => {
        impl $name {
            $(#[$about])*
            $visibility const ALL: [Self; { [$(stringify!($variant)),+].len() }] = [$(Self::$variant),+];
        }

        const _: () = {
            const fn is_listed(value: $name) -> bool {
                match value {
                    $($name::$variant)|+ => true,
                }
            }
            let mut place = 0;
            $(
                let is_in_order = is_listed($name::$variant) && $name::$variant as usize == place;
                assert!(is_in_order, "the variants are not listed in the order in which they are declared");
                place += 1;
            )+
            assert!(place == $name::ALL.len());
        };
    };
}

pub(crate) use listed;
