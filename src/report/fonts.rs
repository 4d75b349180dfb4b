//! The font that the report brings along: DejaVu Sans, cut down to Latin, Greek, Cyrillic, Armenian,
//! Georgian, punctuation, mathematics and arrows (`assets/fonts/`, with its licence).
//!
//! Pictures are drawn with this font only, so they look the same on every machine. A character that
//! it lacks is drawn as `□` and named by [`missing_glyphs`], never dropped.

use std::sync::{Arc, OnceLock};

use resvg::usvg::fontdb;
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
        if !is_blank(c) && glyph(Weight::Regular, c).is_none() && !missing.contains(&c) {
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
            c if c.is_control() || glyph(Weight::Regular, c).is_none() => REPLACEMENT,
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

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
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
