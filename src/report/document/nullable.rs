//! How a document's numbers and ordered pairs stand in JSON.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

pub(super) fn unknown() -> f64 {
    f64::NAN
}

/// Names and values as a JSON object that keeps their order.
pub(super) mod pairs {
    use std::fmt;
    use std::marker::PhantomData;

    use super::{Deserialize, Deserializer, MapAccess, Serialize, Serializer, Visitor};

    pub fn serialize<S: Serializer, T: Serialize>(
        pairs: &[(String, T)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, T)>, D::Error> {
        struct Ordered<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Ordered<T> {
            type Value = Vec<(String, T)>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Ordered(PhantomData))
    }
}

/// `null` in the file is NaN in memory, at every depth; serde_json writes NaN as `null` by itself.
macro_rules! nullable {
    ($module:ident, $type:ty, $raw:ty, $convert:expr) => {
        pub(super) mod $module {
            use super::{Deserialize, Deserializer, Serialize, Serializer};

            pub fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                value.serialize(serializer)
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                <$raw>::deserialize(deserializer).map($convert)
            }
        }
    };
}

fn known(x: Option<f64>) -> f64 {
    x.unwrap_or(f64::NAN)
}

fn all_known(row: Vec<Option<f64>>) -> Vec<f64> {
    row.into_iter().map(known).collect()
}

nullable!(number, f64, Option<f64>, super::known);
nullable!(numbers, Vec<f64>, Vec<Option<f64>>, super::all_known);
nullable!(maybe_numbers, Option<Vec<f64>>, Option<Vec<Option<f64>>>, |row| row.map(super::all_known));
nullable!(maybe_matrix, Option<Vec<Vec<f64>>>, Option<Vec<Vec<Option<f64>>>>, |rows| {
    rows.map(|rows| rows.into_iter().map(super::all_known).collect())
});
nullable!(maybe_intervals, Option<Vec<[f64; 2]>>, Option<Vec<Option<[Option<f64>; 2]>>>, |rows| {
    let bounds = |b: Option<[Option<f64>; 2]>| b.map_or([f64::NAN; 2], |b| b.map(super::known));
    rows.map(|rows| rows.into_iter().map(bounds).collect())
});
