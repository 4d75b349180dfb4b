//! Explained texts and tables in the terminal, and coloured tokens as HTML.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/documents.rs"]
mod documents;

use documents::{Names, Values, document};
use whybox::report::document::{Document, Feature, Kind, Output};
use whybox::report::plot::{self, PlotOptions};

fn tokens() -> Document {
    let words = ["not", "a\u{1b}[31m", "<b>wonderful</b>\n", "film"];
    let mut document = document(4, 1, Names::Short, Values::Ordinary);
    document.kind = Kind::Text;
    document.features = words.iter().map(|w| Feature { name: (*w).into(), columns: Vec::new() }).collect();
    document.instances[0].values = words.map(str::to_owned).to_vec();
    document.instances[0].outputs = vec![Output::new(1, "positive", 0.6, 0.5, vec![-0.3, 0.0, 0.4, 0.001])];
    document
}

#[test]
fn tokens_are_coloured_everywhere_and_steer_nothing() {
    let document = tokens();
    let options = PlotOptions::default();
    let html = plot::tokens_html(&document, &options).unwrap();
    assert!(html.contains("&lt;b&gt;wonderful") && !html.contains("<b>"));
    assert_eq!(html.matches("<span").count(), 4);
    let plain = plot::tokens_terminal(&document, &options, false, 80).unwrap();
    assert!(!plain.contains('\x1b') && plain.contains("not[−0.300]") && plain.contains("film\n"), "{plain}");
    let coloured = plot::tokens_terminal(&document, &options, true, 80).unwrap();
    assert_eq!(coloured.matches("\x1b[0m").count(), 3, "{coloured:?}");
    assert!(!coloured.contains("\x1b[31m"));
}

#[test]
fn the_terminal_shows_bars_within_its_width() {
    for names in [Names::Short, Names::Long, Names::Foreign] {
        for values in [Values::Ordinary, Values::Zero, Values::Huge] {
            let document = document(30, 2, names, values);
            for width in [20, 60, 200] {
                let text = document.terminal(&PlotOptions::default(), false, width).unwrap();
                let most = width.clamp(48, 96);
                for line in text.lines() {
                    let columns = unicode_width::UnicodeWidthStr::width(line);
                    assert!(columns <= most, "{columns} columns of {most}: {line}");
                }
                assert!(!text.contains('\x1b') && text.contains("other features"));
                let coloured = document.terminal(&PlotOptions::default(), true, width).unwrap();
                assert!(coloured.contains("\x1b["));
            }
        }
    }
}
