//! Reads a table of texts into the fields of a struct. One function reads all such tables: code
//! that serde derives for each of them, with its hundred fields, took a quarter of a megabyte of
//! the program.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};

/// The fields of a table, each with its name and the place of its text.
pub(super) type FormFields<'f> = Vec<(&'static str, &'f mut String)>;

/// Fills the fields that the table has, and leaves the others as they are.
///
/// # Errors
/// When the table has a field of another name, or a value that is no text.
pub(super) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
    fields: FormFields<'_>,
) -> Result<(), D::Error> {
    deserializer.deserialize_map(FormTable(fields))
}

struct FormTable<'f>(FormFields<'f>);

impl<'de> Visitor<'de> for FormTable<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of texts")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(at) = map.next_key_seed(FieldName(&self.0))? {
            *self.0[at].1 = map.next_value()?;
        }
        Ok(())
    }
}

/// Reads the name of a field as its index.
struct FieldName<'t, 'f>(&'t FormFields<'f>);

impl<'de> DeserializeSeed<'de> for FieldName<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        let found = self.0.iter().position(|(field, _)| *field == name);
        found.ok_or_else(|| {
            let names: Vec<String> = self
                .0
                .iter()
                .map(|(field, _)| format!("`{field}`"))
                .collect();
            let names = names.join(", ");
            E::custom(format_args!(
                "unknown field `{name}`, expected one of {names}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::vocabulary::speech::{ConditionForms, StateForms};

    fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, toml::de::Error> {
        T::deserialize(toml::Deserializer::parse(text)?)
    }

    #[test]
    fn a_table_replaces_the_forms_it_has_and_keeps_the_others() {
        let forms: StateForms = read("unknown = \"?\"").unwrap();
        let expected = StateForms {
            unknown: "?".to_owned(),
            ..StateForms::default()
        };
        assert_eq!(forms, expected);
        let forms: ConditionForms = read("loop = \"round and round\"").unwrap();
        assert_eq!(forms.r#loop, "round and round");
    }

    #[test]
    fn an_unknown_field_and_a_value_that_is_no_text_are_refused_at_their_place() {
        let text = "unknown = \"?\"\nstrange = \"x\"";
        let error = read::<StateForms>(text).unwrap_err();
        let message = error.message();
        assert!(
            message.contains("unknown field `strange`, expected one of `commanded`"),
            "{message}"
        );
        assert_eq!(error.span().map(|span| &text[span]), Some("strange"));
        let error = read::<StateForms>("unknown = 3").unwrap_err();
        assert!(error.message().contains("expected a string"), "{error}");
    }
}
