//! A JSON object, and nothing else.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// What a request describes with named members. Serde takes an array for a structure too, member by member in the order of
/// its fields, which no description promises.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        name: String,
    }

    fn read(text: &str) -> Result<String, String> {
        let mut json = serde_json::Deserializer::from_str(text);
        let read = serde_path_to_error::deserialize(&mut json);
        read.map(|Object(Named { name })| name)
            .map_err(|why| why.to_string())
    }

    #[test]
    fn an_array_is_no_object() {
        assert_eq!(read(r#"{"name":"a"}"#).unwrap(), "a");
        insta::assert_snapshot!(read(r#"["a"]"#).unwrap_err(), @"invalid type: sequence, expected a JSON object at line 1 column 0");
        insta::assert_snapshot!(read("null").unwrap_err(), @"invalid type: null, expected a JSON object at line 1 column 4");
        insta::assert_snapshot!(read(r#"{"name":1}"#).unwrap_err(), @"name: invalid type: integer `1`, expected a string at line 1 column 9");
        insta::assert_snapshot!(read(r#"{"nane":"a"}"#).unwrap_err(), @"nane: unknown field `nane`, expected `name` at line 1 column 7");
    }
}
