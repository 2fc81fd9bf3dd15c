//! Macros that define the contract's records and enumerations in Rust: once, with the names that the contract has.
//!
//! A field carries its kebab-case name wherever that differs from Rust's. JSON documents use the contract's names too,
//! so a finding's pointer fits both.

/// A record of the contract.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$of_field:meta])* $field:ident $(= $kebab:tt)? : $type:ty,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(
            feature = "serde",
            derive(serde::Serialize, serde::Deserialize),
            serde(rename_all = "kebab-case", default, deny_unknown_fields)
        )]
        #[cfg_attr(
            feature = "host",
            derive(wasmtime::component::ComponentType, wasmtime::component::Lift, wasmtime::component::Lower),
            component(record)
        )]
        pub struct $name {
            $(
                $(#[$of_field])*
                $(#[cfg_attr(feature = "host", component(name = $kebab))])?
                pub $field: $type,
            )+
        }
    };
}

/// An enumeration of the contract.
macro_rules! cases {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$of_case:meta])* $case:ident = $kebab:tt,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(
            feature = "serde",
            derive(serde::Serialize, serde::Deserialize),
            serde(rename_all = "kebab-case")
        )]
        #[cfg_attr(
            feature = "host",
            derive(wasmtime::component::ComponentType, wasmtime::component::Lift, wasmtime::component::Lower),
            component(enum)
        )]
        #[repr(u8)]
        pub enum $name {
            $(
                $(#[$of_case])*
                #[cfg_attr(feature = "host", component(name = $kebab))]
                $case,
            )+
        }

        impl $name {
            /// All cases, in the contract's order.
            pub const ALL: &'static [Self] = &[$(Self::$case),+];

            /// The case's name in the contract and in JSON documents.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$case => $kebab,)+
                }
            }
        }
    };
}
