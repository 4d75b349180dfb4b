//! Features that are one player together. `docs/tables.md` describes the file.

use std::path::Path;

use serde::Deserialize;

use super::Encoding;
use crate::{Error, Result};

/// One player: a name and the features that it stands for.
///
/// # Example
/// ```
/// use whybox::table::Group;
///
/// let place = Group { name: "place".into(), features: vec!["latitude".into(), "longitude".into()] };
/// assert_eq!(place.features.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The player's name.
    pub name: String,
    /// Names of its features.
    pub features: Vec<String>,
}

/// Groups of features; a feature in none is a player of its own.
///
/// # Example
/// ```
/// use whybox::table::{Encoding, Groups};
///
/// let column = |name: &str| format!("[[column]]\nname = \"{name}\"\ntype = \"number\"\n");
/// let encoding = Encoding::parse(&["age", "latitude", "longitude"].map(column).concat(), "encoding.toml")?;
/// let text = "[[group]]\nname = \"place\"\nfeatures = [\"latitude\", \"longitude\"]\n";
/// let (names, columns) = Groups::parse(text, "groups.toml")?.players(&encoding)?;
/// assert_eq!((names, columns), (vec!["place".into(), "age".into()], vec![vec![1, 2], vec![0]]));
/// # Ok::<(), whybox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Groups {
    #[serde(rename = "group")]
    groups: Vec<Group>,
}

impl Groups {
    /// Reads a grouping file (TOML).
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Parameter`] if it is no grouping.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let at = path.as_ref().display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::io(format!("the groups cannot be read: {error}"), &at, "check the path")
        })?;
        Self::parse(&text, &at)
    }

    /// Reads the text of a grouping file; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is no grouping.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            Error::parameter(
                format!("these are no groups: {}", error.message()),
                name,
                "write one [[group]] with name and features for each group, as in docs/tables.md",
            )
        })
    }

    /// The players of an encoding: names, and the network columns of each; the groups first, then each feature that is in
    /// none.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a feature that does not exist or is in two groups, and for an empty group.
    ///
    /// # Example
    /// ```
    /// use whybox::table::{Encoding, Groups, Missing, RawTable};
    ///
    /// let raw = RawTable::parse(b"a,b,c\n1,2,3\n", "t.csv")?;
    /// let encoding = Encoding::infer(&raw, Missing::Error, None)?;
    /// let groups = Groups::parse("[[group]]\nname = \"ends\"\nfeatures = [\"a\", \"c\"]\n", "g.toml")?;
    /// let (names, columns) = groups.players(&encoding)?;
    /// assert_eq!(names, ["ends", "b"]);
    /// assert_eq!(columns, [vec![0, 2], vec![1]]);
    /// # Ok::<(), whybox::Error>(())
    /// ```
    pub fn players(&self, encoding: &Encoding) -> Result<(Vec<String>, Vec<Vec<usize>>)> {
        let columns = encoding.groups();
        let mut taken = vec![false; encoding.features()];
        let (mut names, mut players) = (Vec::new(), Vec::new());
        let broken = |what: String, remedy: &str| Err(Error::parameter(what, "--groups", remedy));
        for group in &self.groups {
            let mut player = Vec::new();
            for name in &group.features {
                let Some(feature) = encoding.columns().iter().position(|column| column.name == *name) else {
                    let known: Vec<&str> =
                        encoding.columns().iter().map(|column| column.name.as_str()).collect();
                    return broken(
                        format!("group {:?} names {name:?}, which is no feature", group.name),
                        &format!("the features are: {}", known.join(", ")),
                    );
                };
                if std::mem::replace(&mut taken[feature], true) {
                    return broken(format!("feature {name:?} is in two groups"), "name each feature once");
                }
                player.extend(&columns[feature]);
            }
            if player.is_empty() {
                return broken(format!("group {:?} is empty", group.name), "name its features");
            }
            names.push(group.name.clone());
            players.push(player);
        }
        for feature in (0..encoding.features()).filter(|&feature| !taken[feature]) {
            names.push(encoding.columns()[feature].name.clone());
            players.push(columns[feature].clone());
        }
        Ok((names, players))
    }
}
