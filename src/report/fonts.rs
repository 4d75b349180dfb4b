//! The font that the report brings along: DejaVu Sans, cut down to Latin, Greek, Cyrillic, Armenian,
//! Georgian, punctuation, mathematics and arrows (`assets/fonts/`, with its licence).
//!
//! Pictures are drawn with this font only, so they look the same on every machine. A character that
//! it lacks is drawn as `□` and named by [`missing_glyphs`], never dropped.

use std::sync::{Arc, OnceLock};

use resvg::usvg::fontdb;
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::prelude::{FontRef, LocationRef, Size};
use skrifa::{GlyphId, MetadataProvider};

/// The CSS font family of the embedded font.
pub const FAMILY: &str = "DejaVu Sans";

/// What stands for a character that the font lacks.
pub const REPLACEMENT: char = '□';

static REGULAR: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fonts/DejaVuSans-subset.ttf"));
static BOLD: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fonts/DejaVuSans-Bold-subset.ttf"));

/// A font weight of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// The characters of `text` that the embedded font cannot draw: each once, in order of appearance.
///
/// White space, control characters and variation selectors need no glyph and are never missing.
pub fn missing_glyphs(text: &str) -> Vec<char> {
    let mut missing = Vec::new();
    for c in text.chars() {
        if !is_blank(c) && (glyph(Weight::Regular, c).is_none() || turns(c)) && !missing.contains(&c) {
            missing.push(c);
        }
    }
    missing
}

/// `text` on one line as the font and XML can hold it: blanks become spaces, control characters and
/// missing glyphs [`REPLACEMENT`], variation selectors vanish.
pub(super) fn drawable(text: &str) -> String {
    text.chars()
        .filter(|c| !is_variation_selector(*c))
        .map(|c| match c {
            c if c.is_whitespace() => ' ',
            c if c.is_control() || turns(c) || glyph(Weight::Regular, c).is_none() => REPLACEMENT,
            c => c,
        })
        .collect()
}

/// The width of a drawable line in the unit of `size` (the em).
pub(super) fn width(text: &str, size: f64, weight: Weight) -> f64 {
    text.chars().map(|c| advance(c, weight)).sum::<f64>() * size
}

/// `text`, drawable, and cut with an ellipsis if it is wider than `max`.
pub(super) fn ellipsize(text: &str, size: f64, weight: Weight, max: f64) -> String {
    let text = drawable(text);
    if width(&text, size, weight) <= max {
        return text;
    }
    let kept = prefix(&text, size, weight, max - width("…", size, weight));
    format!("{}…", kept.trim_end_matches([' ', ',', '·']))
}

/// As [`ellipsize`], but keeps both ends: names often differ at their end.
pub(super) fn ellipsize_middle(text: &str, size: f64, weight: Weight, max: f64) -> String {
    let text = drawable(text);
    if width(&text, size, weight) <= max {
        return text;
    }
    let room = max - width("…", size, weight);
    let reversed: String = text.chars().rev().collect();
    let tail: String = prefix(&reversed, size, weight, room * 0.4).chars().rev().collect();
    let head = prefix(&text, size, weight, room - width(&tail, size, weight));
    format!("{}…{}", head.trim_end(), tail.trim_start())
}

/// The longest beginning of a drawable line that is no wider than `max`.
fn prefix(text: &str, size: f64, weight: Weight, max: f64) -> &str {
    let mut used = 0.0;
    let fits = |&(_, c): &(usize, char)| {
        used += advance(c, weight) * size;
        used <= max
    };
    let end = text.char_indices().take_while(fits).last().map_or(0, |(at, c)| at + c.len_utf8());
    &text[..end]
}

/// `text`, drawable, in at most `lines` lines (at least one) no wider than `max`; the last is cut
/// with an ellipsis.
pub(super) fn wrap(text: &str, size: f64, weight: Weight, max: f64, lines: usize) -> Vec<String> {
    let text = drawable(text);
    let mut done: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while done.len() + 1 < lines && width(rest, size, weight) > max {
        let begin = prefix(rest, size, weight, max);
        let Some(space) = begin.rfind(' ').filter(|&at| at > 0) else {
            break;
        };
        done.push(rest[..space].trim_end().to_string());
        rest = rest[space..].trim_start();
    }
    done.push(ellipsize(rest, size, weight, max));
    done
}

/// The fonts for the rasteriser: the embedded ones, nothing of the system's.
pub(super) fn database() -> Arc<fontdb::Database> {
    static DATABASE: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let database = DATABASE.get_or_init(|| {
        let mut database = fontdb::Database::new();
        database.load_font_source(fontdb::Source::Binary(Arc::new(REGULAR)));
        database.load_font_source(fontdb::Source::Binary(Arc::new(BOLD)));
        database.set_sans_serif_family(FAMILY);
        Arc::new(database)
    });
    Arc::clone(database)
}

fn face(weight: Weight) -> &'static FontRef<'static> {
    static FACES: OnceLock<[FontRef<'static>; 2]> = OnceLock::new();
    // The bytes are compiled in, and a test reads them.
    let read = |bytes| FontRef::new(bytes).expect("the embedded font is sound");
    let [regular, bold] = FACES.get_or_init(|| [read(REGULAR), read(BOLD)]);
    match weight {
        Weight::Regular => regular,
        Weight::Bold => bold,
    }
}

fn glyph(weight: Weight, c: char) -> Option<GlyphId> {
    face(weight).charmap().map(c)
}

/// The advance of a character in em. The bold face has fewer glyphs; the rasteriser then takes the
/// regular one, and so does the measure.
fn advance(c: char, weight: Weight) -> f64 {
    let found = glyph(weight, c).map(|g| (weight, g));
    let found = found.or_else(|| glyph(Weight::Regular, c).map(|g| (Weight::Regular, g)));
    let Some((weight, glyph)) = found else {
        return 0.0;
    };
    let face = face(weight);
    let em = f64::from(face.metrics(Size::unscaled(), LocationRef::default()).units_per_em);
    let metrics = face.glyph_metrics(Size::unscaled(), LocationRef::default());
    f64::from(metrics.advance_width(glyph).unwrap_or(0.0)) / em
}

/// Units of the em in which glyphs are outlined.
pub(super) const EM: f64 = 2048.0;

/// A glyph of a line of text.
pub(super) struct Glyph {
    /// The face that has it.
    pub(super) weight: Weight,
    pub(super) id: u32,
    /// Where it begins, in units of 1/[`EM`].
    pub(super) x: i64,
    /// SVG path data in units of 1/[`EM`], y upwards; empty for a space.
    pub(super) outline: String,
}

/// Sets a drawable line: glyph after glyph, without kerning, as [`width`] measures it.
pub(super) fn set(text: &str, weight: Weight) -> Vec<Glyph> {
    let mut x = 0.0;
    let mut glyphs = Vec::new();
    for c in text.chars() {
        let found = glyph(weight, c).map(|g| (weight, g));
        if let Some((weight, id)) = found.or_else(|| glyph(Weight::Regular, c).map(|g| (Weight::Regular, g)))
        {
            glyphs.push(Glyph {
                weight,
                id: id.to_u32(),
                x: (x * EM).round() as i64,
                outline: outline(weight, id),
            });
        }
        x += advance(c, weight);
    }
    glyphs
}

fn outline(weight: Weight, id: GlyphId) -> String {
    let mut pen = PathPen(String::new());
    let settings = DrawSettings::unhinted(Size::new(EM as f32), LocationRef::default());
    if let Some(glyph) = face(weight).outline_glyphs().get(id) {
        // It fails for damaged fonts only; ours is compiled in, and a test draws it.
        let _ = glyph.draw(settings, &mut pen);
    }
    pen.0
}

/// Writes an outline as SVG path data.
struct PathPen(String);

impl PathPen {
    fn push(&mut self, command: char, numbers: &[f32]) {
        self.0.push(command);
        for (i, number) in numbers.iter().enumerate() {
            if i > 0 {
                self.0.push(' ');
            }
            self.0 += &(number.round() as i32).to_string();
        }
    }
}

impl OutlinePen for PathPen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.push('M', &[x, y]);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.push('L', &[x, y]);
    }

    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        self.push('Q', &[cx, cy, x, y]);
    }

    fn curve_to(&mut self, ax: f32, ay: f32, bx: f32, by: f32, x: f32, y: f32) {
        self.push('C', &[ax, ay, bx, by, x, y]);
    }

    fn close(&mut self) {
        self.0.push('Z');
    }
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Marks and overrides of direction: they could make a line read backwards.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || is_variation_selector(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_covers_the_alphabets_and_signs_of_a_report() {
        let text = "Tabby cat, Кошка, Γάτα, Çà et là, Žluťoučký, Ấn, − ± × ² → ≤ ≈ · … □ “” ‘’ – — ⚠";
        assert_eq!(missing_glyphs(text), []);
        assert!(width("W", 10.0, Weight::Bold) > width("i", 10.0, Weight::Regular));
    }

    #[test]
    fn missing_glyphs_are_named_once_and_replaced() {
        assert_eq!(missing_glyphs("猫 tabby 猫 虎\u{fe0f}"), ['猫', '虎']);
        assert_eq!(drawable("猫\u{fe0f}\tcat\u{1b}[0m"), "□ cat□[0m");
    }

    #[test]
    fn outlines_stand_where_the_measure_says() {
        let glyphs = set("Wi □", Weight::Bold);
        assert_eq!(glyphs.len(), 4);
        assert!(glyphs[0].outline.starts_with('M') && glyphs[2].outline.is_empty());
        assert_eq!(glyphs[3].x, (width("Wi ", EM, Weight::Bold)).round() as i64);
        for weight in [Weight::Regular, Weight::Bold] {
            let em = face(weight).metrics(Size::unscaled(), LocationRef::default()).units_per_em;
            assert_eq!(f64::from(em), EM);
        }
        let cut = ellipsize_middle("relationship_of_the_person_A", 12.0, Weight::Regular, 90.0);
        assert!(cut.contains('…') && cut.ends_with("_A") && width(&cut, 12.0, Weight::Regular) <= 90.0);
    }

    #[test]
    fn lines_never_grow_wider_than_their_room() {
        let name = "a very long class name with many words, and Donaudampfschifffahrtsgesellschaftskapitän";
        for max in [20.0, 80.0, 200.0, 1000.0] {
            for line in wrap(name, 14.0, Weight::Bold, max, 2) {
                assert!(width(&line, 14.0, Weight::Bold) <= max, "{line} in {max}");
            }
        }
        assert_eq!(wrap("tabby cat", 14.0, Weight::Bold, 500.0, 2), ["tabby cat"]);
        assert_eq!(wrap("", 14.0, Weight::Bold, 500.0, 2), [""]);
        assert!(ellipsize(name, 14.0, Weight::Regular, 90.0).ends_with('…'));
    }
}
