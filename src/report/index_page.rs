//! `index.html`: the photos of one run, each linked to its folder.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use maud::{DOCTYPE, PreEscaped, html};

use super::head::head;
use super::image_report::ImageReport;
use super::number::{counted, output};
use super::overlay::quiet_map;
use super::write_atomically;
use crate::{Error, Result};

/// Pixels of a thumbnail's longer side.
const THUMBNAIL: u32 = 320;
const STYLE: &str = include_str!("page.css");
const OWN_STYLE: &str = ".photos{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:24px;\
margin:24px 0;padding:0;list-style:none}.photos img{width:100%;height:220px;object-fit:contain;background:var(--soft);\
border-radius:4px}.photos a{color:inherit;text-decoration:none;display:block}.photos b{overflow-wrap:anywhere}\
.photos pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:12px;margin:0}";

/// The photos of one run, in their order: what became of each.
///
/// # Example
/// ```
/// use whybox::report::PhotoIndex;
///
/// let mut index = PhotoIndex::new("LIME · net.onnx", 2);
/// index.fail("broken.jpg", "this is no picture");
/// assert!(index.html().contains("broken.jpg") && index.html().contains("0 of 2 photos"));
/// ```
#[derive(Debug, Clone)]
pub struct PhotoIndex {
    title: String,
    expected: usize,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    Explained { photo: String, folder: String, answer: String, thumbnail: String },
    Failed { photo: String, error: String },
}

impl PhotoIndex {
    /// Of `expected` photos, none yet; `title` names method and network.
    pub fn new(title: impl Into<String>, expected: usize) -> Self {
        PhotoIndex { title: title.into(), expected, entries: Vec::new() }
    }

    /// Adds a photo whose report lies in `folder`, beside the index.
    ///
    /// # Errors
    /// Those of [`ImageReport::validate`]; [`Error::Limits`] if the thumbnail cannot be encoded.
    pub fn add(&mut self, photo: &str, folder: &str, report: &ImageReport) -> Result<()> {
        report.validate()?;
        let class = &report.classes[0];
        self.entries.push(Entry::Explained {
            photo: photo.to_owned(),
            folder: folder.to_owned(),
            answer: format!("{} {}", class.short_name(), output(class.scale, class.value)),
            thumbnail: thumbnail(report)?,
        });
        Ok(())
    }

    /// Adds a photo that could not be explained, and why.
    pub fn fail(&mut self, photo: &str, error: &str) {
        self.entries.push(Entry::Failed { photo: photo.to_owned(), error: error.to_owned() });
    }

    /// The page.
    pub fn html(&self) -> String {
        let failed = self.entries.iter().filter(|entry| matches!(entry, Entry::Failed { .. })).count();
        let done = format!("{} of {}", self.entries.len() - failed, counted(self.expected as u64, "photo"));
        let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                (head(policy, html! { (done) " · " (self.title) }, html! { (PreEscaped(STYLE)) (PreEscaped(OWN_STYLE)) }))
                body {
                    header { p.kicker { (self.title) } h1 { (done) " explained" (failures) } }
                    main {
                        ul.photos {
                            @for entry in &self.entries {
                                li {
                                    @match entry {
                                        Entry::Explained { photo, folder, answer, thumbnail } => {
                                            a href={ (encoded(folder)) "/explanation.html" } {
                                                img src=(thumbnail) alt={ "Saliency map of " (photo) };
                                                b { (photo) } br; span.quiet { (answer) }
                                            }
                                        }
                                        Entry::Failed { photo, error } => {
                                            b { (photo) } pre.warnings { (error) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                    footer { "whybox " (env!("CARGO_PKG_VERSION")) }
                }
            }
        };
        markup.into_string()
    }

    /// Writes `index.html` into `folder`; it appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path that cannot be written.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<PathBuf> {
        write_atomically(folder.as_ref(), "index.html", self.html().as_bytes())
    }
}

/// A folder's name as part of an address.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The first class's map over the photo, small, as a data URI.
fn thumbnail(report: &ImageReport) -> Result<String> {
    let class = &report.classes[0];
    let photo = quiet_map(report, class);
    let (width, height) = photo.dimensions();
    let scale = (f64::from(THUMBNAIL) / f64::from(width.max(height))).min(1.0);
    let size = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
    let small = imageops::resize(&photo, size(width), size(height), FilterType::Triangle);
    let mut bytes = Cursor::new(Vec::new());
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 85)).map_err(|error| {
        Error::limits(format!("cannot encode a picture: {error}"), "index.html", "report this as a bug")
    })?;
    Ok(format!("data:image/jpeg;base64,{}", BASE64.encode(bytes.into_inner())))
}
