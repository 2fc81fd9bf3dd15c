//! Reads documents in which a struct is an object with named fields, at every depth.
//!
//! Serde's derived code also fills a struct from an array, by the order of its fields. `{"pause":[]}` would then stop a
//! guest, and a new field would change what an old array means. Everything that comes from outside is read through
//! [`ObjectsOnly`], which refuses an array wherever a struct is expected.
//!
//! This module never changes a value: it refuses, or it passes on. It cannot check what serde buffers first: types with
//! `flatten`, `tag` or `untagged` that hold structs must not be read from outside.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

/// Reads JSON.
///
/// # Errors
/// When it is not JSON, or not a `T` whose structs are objects.
pub fn from_json<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(ObjectsOnly(&mut json))?;
    json.end().map(|()| value)
}

/// Reads JSON of which nothing is known yet, not even whether it is UTF-8.
///
/// # Errors
/// When it is not JSON, or not a `T` whose structs are objects.
pub fn from_json_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(ObjectsOnly(&mut json))?;
    json.end().map(|()| value)
}

/// A deserializer of any format that refuses an array wherever a struct is expected.
#[derive(Clone, Copy, Debug)]
pub struct ObjectsOnly<D>(pub D);

macro_rules! pass_on {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Checked { visitor, is_struct: false })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectsOnly<D> {
    type Error = D::Error;

    pass_on! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option
        deserialize_unit deserialize_seq deserialize_map deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Checked { visitor, is_struct: true })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Checked { visitor, is_struct: false })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Checked { visitor, is_struct: false })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Checked { visitor, is_struct: false })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Checked { visitor, is_struct: false })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Checked { visitor, is_struct: false })
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// A visitor, and whether it builds a struct.
struct Checked<V> {
    visitor: V,
    is_struct: bool,
}

macro_rules! visit {
    ($($method:ident: $value:ty),*) => {$(
        fn $method<E: Error>(self, value: $value) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Checked<V> {
    type Value = V::Value;

    visit! {
        visit_bool: bool, visit_i8: i8, visit_i16: i16, visit_i32: i32, visit_i64: i64, visit_i128: i128,
        visit_u8: u8, visit_u16: u16, visit_u32: u32, visit_u64: u64, visit_u128: u128, visit_f32: f32, visit_f64: f64,
        visit_char: char, visit_str: &str, visit_borrowed_str: &'de str, visit_string: String, visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8], visit_byte_buf: Vec<u8>
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_struct { f.write_str("an object with named fields") } else { self.visitor.expecting(f) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<V::Value, A::Error> {
        if self.is_struct {
            return Err(A::Error::invalid_type(Unexpected::Other("an array"), &self));
        }
        self.visitor.visit_seq(Inside(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Inside(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(Inside(variant))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(ObjectsOnly(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(ObjectsOnly(deserializer))
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }
}

/// Checks everything inside a value as well.
struct Inside<A>(A);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Inside<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(ObjectsOnly(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Inside<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Inside(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Inside<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Inside(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Inside(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Inside<A> {
    type Error = A::Error;
    type Variant = Inside<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        self.0.variant_seed(Inside(seed)).map(|(name, content)| (name, Inside(content)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Inside<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Inside(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Checked { visitor, is_struct: false })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Checked { visitor, is_struct: true })
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair {
        left: i64,
        right: Option<String>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(Pair);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Plain,
        Struct { value: u8 },
        Empty {},
        Newtype(Pair),
        Tuple(u8, Pair),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Whole {
        pair: Pair,
        perhaps: Option<Pair>,
        list: Vec<Pair>,
        map: BTreeMap<String, Pair>,
        kinds: Vec<Kind>,
        wrapped: Wrapped,
        tuple: (u8, Pair),
        free: serde_json::Value,
    }

    const PAIR: &str = r#"{"left":1,"right":"x"}"#;
    const WHOLE: &str = r#"{"pair":PAIR,"perhaps":PAIR,"list":[PAIR],"map":{"one":PAIR},
        "kinds":["Plain",{"Struct":{"value":3}},{"Empty":{}},{"Newtype":PAIR},{"Tuple":[4,PAIR]}],
        "wrapped":PAIR,"tuple":[5,PAIR],"free":[1,{"two":[3.5,null,true]}]}"#;

    fn whole() -> String {
        WHOLE.replace("PAIR", PAIR)
    }

    #[test]
    fn what_has_named_fields_is_read_as_serde_reads_it() {
        let text = whole();
        let read: Whole = from_json(&text).unwrap();
        assert_eq!(read, serde_json::from_str(&text).unwrap());
        assert_eq!(read, from_json_bytes(text.as_bytes()).unwrap());
    }

    #[test]
    fn an_array_is_refused_wherever_a_struct_is_expected() {
        let pairs = whole().matches(PAIR).count();
        assert_eq!(pairs, 8);
        let text = whole();
        for (at, _) in text.match_indices(PAIR) {
            let mut broken = text.clone();
            broken.replace_range(at..at + PAIR.len(), r#"[1,"x"]"#);
            assert!(serde_json::from_str::<Whole>(&broken).is_ok(), "serde takes it: {broken}");
            let error = from_json::<Whole>(&broken).unwrap_err();
            assert!(error.is_data(), "{error}");
            let said = error.to_string();
            assert!(said.contains("invalid type: an array, expected an object with named fields"), "{said}");
        }
        for (good, bad) in [(r#"{"value":3}"#, "[3]"), ("{}", "[]")] {
            let broken = text.replacen(good, bad, 1);
            assert!(serde_json::from_str::<Whole>(&broken).is_ok(), "serde takes it: {broken}");
            assert!(from_json::<Whole>(&broken).is_err(), "{broken}");
        }
        assert!(from_json::<Pair>(r#"[1,"x"]"#).is_err());
        assert!(from_json_bytes::<Pair>(br#"[1,"x"]"#).is_err());
    }

    #[test]
    fn nothing_may_follow_the_document() {
        assert!(from_json::<Pair>(r#"{"left":1} {}"#).is_err());
        assert!(from_json_bytes::<Pair>(br#"{"left":1}]"#).is_err());
    }
}
