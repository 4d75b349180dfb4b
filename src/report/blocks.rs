//! The saliency maps of a photo as blocks of colour in a terminal, two pixels a character.

use std::fmt::Write;

use image::RgbImage;
use image::imageops::{self, FilterType};
use unicode_width::UnicodeWidthStr;

use super::colour;
use super::image_report::ImageReport;
use super::number::Rounding;
use super::overlay::quiet_map;
use super::terminal::{cut, pad};
use crate::Result;

/// The colours that a terminal can show.
///
/// # Example
/// ```
/// use whybox::report::BlockColours;
///
/// let truecolor = std::env::var("COLORTERM").is_ok_and(|colours| colours == "truecolor");
/// let colours = if truecolor { BlockColours::True } else { BlockColours::Palette };
/// assert!(matches!(colours, BlockColours::True | BlockColours::Palette));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockColours {
    /// 24 bits.
    True,
    /// The 256 colours of xterm.
    Palette,
}

/// Columns that a picture takes at least, and between two pictures.
const NARROWEST: usize = 24;
const GAP: usize = 2;
/// Columns of the colour bar at most.
const BAR: usize = 25;

/// The photo and the map of each class side by side, as many as `columns` have room for and at most `rows` lines high, under
/// their names and over the colour bar. Each character is the half block ▀, its foreground the upper pixel, its background
/// the lower one.
///
/// # Errors
/// Those of [`ImageReport::validate`].
///
/// # Example
/// ```
/// use whybox::report::{BlockColours, ExplainedClass, ImageReport, PhotoSegments, Scale, blocks};
///
/// let cat = ExplainedClass { name: "cat".into(), value: 0.9, weights: vec![0.5, -0.1], ..ExplainedClass::default() };
/// let report = ImageReport {
///     photo: image::RgbImage::new(40, 20),
///     segments: PhotoSegments { labels: (0..800).map(|pixel| pixel / 400).collect(), count: 2 },
///     classes: vec![cat],
///     ..ImageReport::default()
/// };
/// let text = blocks(&report, BlockColours::True, 50, 20)?;
/// // Names, 24 columns of a picture twice as wide as high, the colour bar.
/// assert_eq!(text.lines().count(), 1 + 6 + 1);
/// # Ok::<(), whybox::Error>(())
/// ```
pub fn blocks(report: &ImageReport, colours: BlockColours, columns: usize, rows: usize) -> Result<String> {
    report.validate()?;
    let most = ((columns + GAP) / (NARROWEST + GAP)).max(1);
    let classes = &report.classes[..report.classes.len().min(most.saturating_sub(1).max(1))];
    let with_photo = classes.len() < most;
    let panels = classes.len() + usize::from(with_photo);
    let room = ((columns + GAP) / panels).saturating_sub(GAP).max(1);
    let size = fitting(report.photo.dimensions(), room, rows);

    let mut names = Vec::new();
    let mut pictures = Vec::new();
    if with_photo {
        names.push("photo");
        pictures.push(resized(&report.photo, size));
    }
    for class in classes {
        names.push(class.short_name());
        pictures.push(resized(&quiet_map(report, class), size));
    }
    let width = size.0 as usize;
    let gap = " ".repeat(GAP);
    let mut text = String::new();
    let titles: Vec<String> = names.iter().map(|name| pad(&cut(name, width), width)).collect();
    let _ = writeln!(text, "{}", titles.join(&gap).trim_end());
    for row in 0..size.1 / 2 {
        let mut pen = Pen { colours, text: &mut text, last: None };
        for (i, picture) in pictures.iter().enumerate() {
            if i > 0 {
                pen.end();
                pen.text.push_str(&gap);
            }
            for x in 0..size.0 {
                pen.block(picture.get_pixel(x, 2 * row).0, picture.get_pixel(x, 2 * row + 1).0);
            }
        }
        pen.end();
        text.push('\n');
    }
    // Every map is on its own scale: one bar serves where there is one map.
    let ends = match classes {
        [class] => {
            let largest = class.largest();
            let round = Rounding::for_largest(largest);
            [round.signed(-largest), round.signed(largest)].map(|end| format!(" {end}"))
        }
        _ => [const { String::new() }; 2],
    };
    let around = "against  for".len() + ends.iter().map(|end| end.width()).sum::<usize>();
    let bar = columns.saturating_sub(around).clamp(5, BAR);
    let _ = write!(text, "against{} ", ends[0]);
    let mut pen = Pen { colours, text: &mut text, last: None };
    for i in 0..bar {
        let t = 2.0 * i as f64 / (bar - 1) as f64 - 1.0;
        let [r, g, b, opacity] = colour::diverging(t);
        let on_white = over([r, g, b, opacity], [255; 3]);
        pen.block(on_white, on_white);
    }
    pen.end();
    let _ = writeln!(text, "{} for", ends[1]);
    Ok(text)
}

/// Columns and pixel rows (an even number) of a picture that keeps its shape: a character is about twice as high as wide, so that
/// its halves are square.
fn fitting((width, height): (u32, u32), columns: usize, rows: usize) -> (u32, u32) {
    let (columns, pixels) = (columns as f64, 2.0 * rows.max(1) as f64);
    let scale = (columns / f64::from(width)).min(pixels / f64::from(height));
    let across = (f64::from(width) * scale).round().max(1.0) as u32;
    let half = (f64::from(height) * scale / 2.0).round().max(1.0) as u32;
    (across, 2 * half)
}

fn resized(picture: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
    let filter = if picture.width() < width { FilterType::Nearest } else { FilterType::Triangle };
    imageops::resize(picture, width, height, filter)
}

/// A colour over an opaque one.
pub(super) fn over([r, g, b, opacity]: [u8; 4], under: [u8; 3]) -> [u8; 3] {
    let a = f64::from(opacity) / 255.0;
    let mix = |over: u8, under: u8| (f64::from(over) * a + f64::from(under) * (1.0 - a)).round() as u8;
    [mix(r, under[0]), mix(g, under[1]), mix(b, under[2])]
}

/// Writes blocks, and a colour only where it changes.
struct Pen<'a> {
    colours: BlockColours,
    text: &'a mut String,
    last: Option<[[u8; 3]; 2]>,
}

impl Pen<'_> {
    fn block(&mut self, above: [u8; 3], below: [u8; 3]) {
        if self.last != Some([above, below]) {
            for (ground, [r, g, b]) in [(38, above), (48, below)] {
                // A string takes every character.
                let _ = match self.colours {
                    BlockColours::True => write!(self.text, "\x1b[{ground};2;{r};{g};{b}m"),
                    BlockColours::Palette => write!(self.text, "\x1b[{ground};5;{}m", nearest([r, g, b])),
                };
            }
            self.last = Some([above, below]);
        }
        self.text.push('▀');
    }

    fn end(&mut self) {
        if self.last.take().is_some() {
            self.text.push_str("\x1b[0m");
        }
    }
}

/// The levels of xterm's cube of 6 × 6 × 6 colours.
const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The nearest of xterm's colours 16 to 255: the cube's, or one of 24 greys 8, 18, … 238.
fn nearest(rgb: [u8; 3]) -> u8 {
    let apart =
        |a: [u8; 3]| -> u32 { a.iter().zip(rgb).map(|(&a, b)| u32::from(a.abs_diff(b)).pow(2)).sum() };
    // Six levels, 24 greys: the numbers fit.
    let level = |c: u8| (0..6).min_by_key(|&i| LEVELS[i].abs_diff(c)).unwrap_or(0);
    let cube = rgb.map(level);
    let mean = rgb.iter().map(|&c| u32::from(c)).sum::<u32>() / 3;
    let grey = (mean.saturating_sub(3) / 10).min(23) as u8;
    if apart([8 + 10 * grey; 3]) < apart(cube.map(|i| LEVELS[i])) {
        232 + grey
    } else {
        (16 + 36 * cube[0] + 6 * cube[1] + cube[2]) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_is_xterms() {
        assert_eq!(nearest([0, 0, 0]), 16);
        assert_eq!(nearest([255, 255, 255]), 231);
        assert_eq!(nearest([255, 135, 0]), 208);
        assert_eq!(nearest([0, 135, 255]), 33);
        assert_eq!(nearest([128, 128, 128]), 244);
        assert_eq!(nearest([9, 8, 8]), 232);
    }

    #[test]
    fn pictures_keep_their_shape() {
        assert_eq!(fitting((200, 100), 60, 30), (60, 30));
        assert_eq!(fitting((100, 100), 60, 10), (20, 20));
        assert_eq!(fitting((1, 1000), 60, 10), (1, 20));
        assert_eq!(fitting((1000, 1), 60, 10), (60, 2));
    }

    #[test]
    fn colours_are_written_where_they_change() {
        let mut text = String::new();
        let mut pen = Pen { colours: BlockColours::True, text: &mut text, last: None };
        pen.block([1, 2, 3], [4, 5, 6]);
        pen.block([1, 2, 3], [4, 5, 6]);
        pen.block([1, 2, 3], [0, 0, 0]);
        pen.end();
        assert_eq!(text, "\x1b[38;2;1;2;3m\x1b[48;2;4;5;6m▀▀\x1b[38;2;1;2;3m\x1b[48;2;0;0;0m▀\x1b[0m");
    }
}
