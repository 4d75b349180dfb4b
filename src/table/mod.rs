//! Tables: CSV files, how their columns become a network's numbers, and backgrounds.
//!
//! ```text
//! file.csv ─► RawTable ─► Encoding ─► codes [N, features] ─► network rows [N, columns]
//!              (text)                  a number each          one-hot columns spread out
//! ```
//!
//! A *feature* is a column of the file; a *network column* is one number that the network reads. A one-hot feature has
//! one network column for each category, and is one player.
//!
//! # Example
//! ```
//! use whybox::table::{Encoding, Missing, RawTable};
//!
//! let raw = RawTable::parse(b"age,colour\n30,red\n45,blue\n", "people.csv")?;
//! let encoding = Encoding::infer(&raw, Missing::Error, None)?;
//! let codes = encoding.codes(&raw)?;
//! assert_eq!(codes.row(0).to_vec(), [30.0, 1.0]); // blue is 0, red is 1
//! assert_eq!(encoding.expand(codes.view()).row(0).to_vec(), [30.0, 0.0, 1.0]);
//! assert_eq!(encoding.groups(), [vec![0], vec![1, 2]]);
//! # Ok::<(), whybox::Error>(())
//! ```

mod background;
mod encoding;
mod groups;
mod kmeans;
mod raw;
mod rows;

pub use background::{BackgroundChoice, BackgroundRows};
pub use encoding::{ColumnEncoding, Encoding, Kind, Missing};
pub use groups::{Group, Groups};
pub use kmeans::kmeans;
pub use raw::{RawTable, is_missing};
pub use rows::RowChoice;
