//! The command-line syntax of a segmentation: `slic:n=70,compactness=10`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Felzenszwalb, Grid, Quickshift, Segmentation, Slic};
use crate::error::{Error, Result};

/// What may be written, for error messages.
const FORMS: &str = "slic:n=70,compactness=10,sigma=0,iterations=10 | \
    quickshift:kernel=4,max_dist=200,ratio=0.2 | felzenszwalb:scale=100,sigma=0.5,min=50 | \
    grid:rows=7,cols=7 | file:labels.png (every key may be left out)";

impl FromStr for Segmentation {
    type Err = Error;

    /// Reads `algorithm` or `algorithm:key=value,key=value`; see [`Segmentation`] for the keys.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an unknown algorithm or key, a key given
    /// twice, or a value that is not a number in its range.
    fn from_str(text: &str) -> Result<Self> {
        let (algorithm, rest) = text.split_once(':').unwrap_or((text, ""));
        match algorithm.trim() {
            "slic" => {
                let keys = Keys::parse("slic", rest, &["n", "compactness", "sigma", "iterations"])?;
                let default = Slic::default();
                let slic = Slic {
                    segments: keys.number("n", default.segments)?,
                    compactness: keys.number("compactness", default.compactness)?,
                    sigma: keys.number("sigma", default.sigma)?,
                    iterations: keys.number("iterations", default.iterations)?,
                };
                slic.check()?;
                Ok(Segmentation::Slic(slic))
            }
            "quickshift" => {
                let keys = Keys::parse("quickshift", rest, &["kernel", "max_dist", "ratio"])?;
                let default = Quickshift::default();
                let shift = Quickshift {
                    kernel: keys.number("kernel", default.kernel)?,
                    max_dist: keys.number("max_dist", default.max_dist)?,
                    ratio: keys.number("ratio", default.ratio)?,
                };
                shift.check()?;
                Ok(Segmentation::Quickshift(shift))
            }
            "felzenszwalb" => {
                let keys = Keys::parse("felzenszwalb", rest, &["scale", "sigma", "min"])?;
                let default = Felzenszwalb::default();
                let graph = Felzenszwalb {
                    scale: keys.number("scale", default.scale)?,
                    sigma: keys.number("sigma", default.sigma)?,
                    min_size: keys.number("min", default.min_size)?,
                };
                graph.check()?;
                Ok(Segmentation::Felzenszwalb(graph))
            }
            "grid" => {
                let keys = Keys::parse("grid", rest, &["rows", "cols"])?;
                let default = Grid::default();
                let grid = Grid {
                    rows: keys.number("rows", default.rows)?,
                    cols: keys.number("cols", default.cols)?,
                };
                grid.check()?;
                Ok(Segmentation::Grid(grid))
            }
            "file" if rest.is_empty() => {
                Err(Error::parameter("the path of the label image is missing", text, "write file:labels.png"))
            }
            "file" => Ok(Segmentation::File(PathBuf::from(rest))),
            _ => Err(Error::parameter(
                "unknown segmentation",
                format!("'{text}'"),
                format!("write one of: {FORMS}"),
            )),
        }
    }
}

impl fmt::Display for Segmentation {
    /// Writes every key, so that parsing the text gives the same segmentation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Segmentation::Slic(Slic { segments, compactness, sigma, iterations }) => {
                write!(f, "slic:n={segments},compactness={compactness},sigma={sigma},iterations={iterations}")
            }
            Segmentation::Quickshift(Quickshift { kernel, max_dist, ratio }) => {
                write!(f, "quickshift:kernel={kernel},max_dist={max_dist},ratio={ratio}")
            }
            Segmentation::Felzenszwalb(Felzenszwalb { scale, sigma, min_size }) => {
                write!(f, "felzenszwalb:scale={scale},sigma={sigma},min={min_size}")
            }
            Segmentation::Grid(Grid { rows, cols }) => write!(f, "grid:rows={rows},cols={cols}"),
            Segmentation::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// The `key=value` pairs of one algorithm.
struct Keys<'a> {
    algorithm: &'static str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Keys<'a> {
    fn parse(algorithm: &'static str, text: &'a str, known: &[&str]) -> Result<Self> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            let (key, value) = (key.trim(), value.trim());
            let twice = pairs.iter().any(|(other, _)| *other == key);
            if twice || !known.contains(&key) {
                return Err(Error::parameter(
                    if twice { "a key is given twice" } else { "unknown key" },
                    format!("'{item}' in {algorithm}:{text}"),
                    format!("the keys of {algorithm} are: {}", known.join(", ")),
                ));
            }
            pairs.push((key, value));
        }
        Ok(Keys { algorithm, pairs })
    }

    /// The value of `key`, or `default` where it is left out.
    fn number<T: FromStr + fmt::Display>(&self, key: &str, default: T) -> Result<T> {
        let Some((_, value)) = self.pairs.iter().find(|(other, _)| *other == key) else {
            return Ok(default);
        };
        value.parse().map_err(|_| {
            let kind = if "0.5".parse::<T>().is_ok() { "number" } else { "whole number" };
            Error::parameter(
                format!("{key} is not a {kind}"),
                format!("{}:{key}={value}", self.algorithm),
                format!("write for instance {key}={default}"),
            )
        })
    }
}

/// Refuses a value outside `low..=high`, NaN included; `name` is `algorithm:key`.
pub(super) fn within(name: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let key = name.rsplit(':').next().unwrap_or(name);
    Err(Error::parameter(
        format!("{key} is out of range"),
        format!("{name}={value}"),
        format!("choose {key} from {low} to {high}"),
    ))
}
