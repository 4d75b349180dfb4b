//! Plots: every kind, of every size, with every name.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/documents.rs"]
mod documents;

use std::sync::Arc;

use documents::{Names, Values, document};
use resvg::usvg::{self, fontdb, roxmltree};
use whybox::report::document::{Document, Kind, Output};
use whybox::report::plot::{self, Lettering, PlotKind, PlotOptions, ThemeName};

fn options(theme: ThemeName, lettering: Lettering) -> PlotOptions {
    PlotOptions { theme, lettering, ..PlotOptions::default() }
}

/// The embedded fonts and nothing of the system's.
fn reader() -> usvg::Options<'static> {
    let mut fonts = fontdb::Database::new();
    for file in ["DejaVuSans-subset.ttf", "DejaVuSans-Bold-subset.ttf"] {
        let path = format!("{}/assets/fonts/{file}", env!("CARGO_MANIFEST_DIR"));
        fonts.load_font_data(std::fs::read(path).unwrap());
    }
    usvg::Options { fontdb: Arc::new(fonts), font_family: "DejaVu Sans".into(), ..usvg::Options::default() }
}

/// What is wrong with a picture whose text is text: the shaped glyphs of each line must lie inside and touch no other's.
/// Widths are those of the renderer, not of whybox: the promised `textLength` is taken away first.
fn faults(svg: &str, reader: &usvg::Options) -> Vec<String> {
    let mut faults = Vec::new();
    let xml = match roxmltree::Document::parse(svg) {
        Ok(xml) => xml,
        Err(error) => return vec![format!("not XML: {error}")],
    };
    for node in xml.descendants().filter(|node| node.is_element()) {
        for attribute in node.attributes() {
            let text = attribute.value();
            let numeric = !matches!(attribute.name(), "aria-label" | "href");
            if numeric && (text.contains("NaN") || text.contains("inf")) {
                faults.push(format!("<{} {}={text:?}>", node.tag_name().name(), attribute.name()));
            }
        }
    }
    let free = without_lengths(svg);
    let tree = match usvg::Tree::from_str(&free, reader) {
        Ok(tree) => tree,
        Err(error) => return vec![format!("not SVG: {error}")],
    };
    let mut boxes = Vec::new();
    collect(tree.root(), &mut boxes);
    let (width, height) = (tree.size().width(), tree.size().height());
    for (i, (text, a)) in boxes.iter().enumerate() {
        if a.left() < 0.0 || a.top() < 0.0 || a.right() > width || a.bottom() > height {
            faults.push(format!("{text:?} leaves the picture of {width} × {height}: {a:?}"));
        }
        for (other, b) in &boxes[..i] {
            let wide = a.right().min(b.right()) - a.left().max(b.left());
            let high = a.bottom().min(b.bottom()) - a.top().max(b.top());
            if wide > 0.5 && high > 0.5 {
                faults.push(format!("{text:?} and {other:?} overlap by {wide:.1} × {high:.1}"));
            }
        }
    }
    if boxes.is_empty() {
        faults.push("no text at all".into());
    }
    faults
}

fn without_lengths(svg: &str) -> String {
    let mut parts = svg.split(" textLength=\"");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += part.split_once('"').map_or("", |(_, rest)| rest);
    }
    text
}

fn collect(group: &usvg::Group, boxes: &mut Vec<(String, usvg::Rect)>) {
    for node in group.children() {
        match node {
            usvg::Node::Group(group) => collect(group, boxes),
            usvg::Node::Text(text) => {
                let said = text.chunks().iter().map(|chunk| chunk.text()).collect();
                boxes.push((said, text.flattened().abs_bounding_box()));
            }
            _ => {}
        }
    }
}

/// Draws every kind and tells all faults together.
fn check(
    document: &Document,
    what: &str,
    kinds: &[PlotKind],
    failures: &mut Vec<String>,
    reader: &usvg::Options,
) {
    for &kind in kinds {
        for theme in [ThemeName::Light, ThemeName::Dark] {
            match plot::svg(document, kind, &options(theme, Lettering::Text)) {
                Ok(svg) => {
                    failures.extend(faults(&svg, reader).into_iter().map(|f| format!("{what}, {kind}: {f}")))
                }
                Err(error) => failures.push(format!("{what}, {kind}: {error}")),
            }
            if theme == ThemeName::Light && document.instances.len() > 100 {
                break;
            }
        }
    }
}

fn report(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} faults:\n{}",
        failures.len(),
        failures[..failures.len().min(40)].join("\n")
    );
}

#[test]
fn the_check_finds_overlaps_and_texts_outside() {
    let svg = |inner: &str| {
        format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="200" height="60">{inner}</svg>"#)
    };
    let text = |x: f64, y: f64| format!(r#"<text x="{x}" y="{y}" font-size="12">some words</text>"#);
    let reader = reader();
    let count = |inner: &str| faults(&svg(inner), &reader).len();
    assert_eq!(count(&text(10.0, 20.0)), 0);
    assert_eq!(count(&(text(10.0, 20.0) + &text(10.0, 50.0))), 0);
    assert_eq!(count(&(text(10.0, 20.0) + &text(60.0, 22.0))), 1, "overlap");
    assert_eq!(count(&text(180.0, 20.0)), 1, "beyond the right edge");
    assert_eq!(count(&text(10.0, 3.0)), 1, "beyond the top");
    assert_eq!(count(r#"<rect width="NaN" height="1"/><text x="9" y="20">a</text>"#), 1, "not a number");
    assert_eq!(count("<rect>"), 1, "not XML");
    // A width that squeezes a text does not hide that it is too long.
    let squeezed = r#"<text x="150" y="20" font-size="12" textLength="40" lengthAdjust="spacingAndGlyphs">some words</text>"#;
    assert_eq!(count(squeezed), 1, "squeezed");
}

#[test]
fn every_plot_of_every_size_is_sound() {
    let (mut failures, reader) = (Vec::new(), reader());
    for features in [1, 2, 30, 500] {
        for instances in [1, 1000] {
            let document = document(features, instances, Names::Short, Values::Ordinary);
            let what = format!("{features} features, {instances} instances");
            check(&document, &what, &PlotKind::ALL, &mut failures, &reader);
        }
    }
    report(&failures);
}

#[test]
fn every_plot_of_every_name_and_number_is_sound() {
    let (mut failures, reader) = (Vec::new(), reader());
    for names in [Names::Short, Names::Long, Names::Foreign] {
        for values in
            [Values::Ordinary, Values::Zero, Values::Tiny, Values::Huge, Values::Mixed, Values::FarFromZero]
        {
            for (features, instances) in [(1, 1), (12, 40)] {
                let document = document(features, instances, names, values);
                let what = format!("{names:?} {values:?}, {features} features, {instances} instances");
                check(&document, &what, &PlotKind::ALL, &mut failures, &reader);
            }
        }
    }
    report(&failures);
}

#[test]
fn many_named_features_still_fit() {
    let (mut failures, reader) = (Vec::new(), reader());
    for top in [1, 2, 40] {
        let document = document(60, 30, Names::Long, Values::Ordinary);
        for kind in PlotKind::ALL {
            let options = PlotOptions { top, lettering: Lettering::Text, ..PlotOptions::default() };
            let svg = plot::svg(&document, kind, &options).unwrap();
            failures.extend(faults(&svg, &reader).into_iter().map(|f| format!("top {top}, {kind}: {f}")));
        }
    }
    report(&failures);
}

#[test]
fn outlines_show_the_same_picture_as_text_on_a_bare_machine() {
    let document = document(8, 20, Names::Foreign, Values::Ordinary);
    let with_fonts = reader();
    let bare = usvg::Options::default();
    for kind in [PlotKind::Waterfall, PlotKind::Beeswarm, PlotKind::Matrix] {
        let draw = |lettering, reader: &usvg::Options| {
            let svg = plot::svg(&document, kind, &options(ThemeName::Light, lettering)).unwrap();
            let tree = usvg::Tree::from_str(&svg, reader).unwrap();
            let size = tree.size().to_int_size();
            let mut canvas = resvg::tiny_skia::Pixmap::new(size.width(), size.height()).unwrap();
            resvg::render(&tree, resvg::tiny_skia::Transform::default(), &mut canvas.as_mut());
            canvas.data().to_vec()
        };
        let apart = |a: &[u8], b: &[u8]| {
            let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            sum as f64 / a.len() as f64
        };
        let outlines = draw(Lettering::Outlines, &bare);
        let text = draw(Lettering::Text, &with_fonts);
        let nothing = draw(Lettering::Text, &bare);
        let (same, control) = (apart(&outlines, &text), apart(&nothing, &text));
        assert!(same < 0.12, "{kind}: mean difference {same}");
        assert!(control > 4.0 * same, "{kind}: without the font {control} should be far from {same}");
    }
}

#[test]
fn pngs_have_two_pixels_a_point_and_the_theme_as_ground() {
    let document = document(6, 5, Names::Short, Values::Ordinary);
    for kind in PlotKind::ALL {
        for (theme, ground) in [(ThemeName::Light, [255, 255, 255]), (ThemeName::Dark, [0x14, 0x18, 0x1d])] {
            let svg = plot::svg(&document, kind, &options(theme, Lettering::Outlines)).unwrap();
            let png = plot::png(&document, kind, &options(theme, Lettering::Outlines)).unwrap();
            let xml = roxmltree::Document::parse(&svg).unwrap();
            let size = |name| xml.root_element().attribute(name).unwrap().parse::<f64>().unwrap();
            let picture = image::load_from_memory(&png).unwrap().to_rgb8();
            assert_eq!(f64::from(picture.width()), (2.0 * size("width")).round(), "{kind}");
            assert_eq!(f64::from(picture.height()), (2.0 * size("height")).round(), "{kind}");
            assert_eq!(picture.get_pixel(0, 0).0, ground, "{kind}");
        }
    }
    assert!(plot::png(&document, PlotKind::Bar, &options(ThemeName::Page, Lettering::Text)).is_err());
}

/// Numbers rounded to whole points: enough to see what moved, too coarse for another processor's last digit.
fn rounded(svg: &str) -> String {
    let mut text = String::new();
    let mut number = String::new();
    for c in svg.chars().chain(['\0']) {
        if c.is_ascii_digit() || (c == '.' && !number.is_empty()) {
            number.push(c);
            continue;
        }
        if number.contains('.') {
            text += &number.parse::<f64>().map_or(number.clone(), |x| format!("{}", x.round()));
        } else {
            text += &number;
        }
        number.clear();
        text.push(c);
    }
    text.trim_end_matches('\0').replace("><", ">\n<")
}

#[test]
fn pictures_stay_as_they_were() {
    assert_eq!(rounded("M1.26 3h12.0 v7z"), "M1 3h12 v7z");
    let document = document(5, 6, Names::Short, Values::Ordinary);
    for kind in PlotKind::ALL {
        let options = PlotOptions { top: 3, ..options(ThemeName::Light, Lettering::Text) };
        let svg = plot::svg(&document, kind, &options).unwrap();
        let path = format!("{}/tests/fixtures/plots/{kind}.svg", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("WHYBOX_UPDATE_SNAPSHOTS").is_some() {
            std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
            std::fs::write(&path, rounded(&svg) + "\n").unwrap();
        }
        let before = std::fs::read_to_string(&path).unwrap();
        let (now, before) = (rounded(&svg), before.trim_end());
        let differs = now.lines().zip(before.lines()).find(|(a, b)| a != b);
        // Set WHYBOX_UPDATE_SNAPSHOTS=1 once the new picture was looked at.
        assert!(now == before, "{kind} has changed, first here (now, before): {differs:#?}");
    }
}

#[test]
fn what_is_not_there_is_an_error_that_names_it() {
    let mut document = document(3, 2, Names::Short, Values::Ordinary);
    let svg = |document: &Document, kind, options: &PlotOptions| {
        plot::svg(document, kind, options).map_err(|e| e.to_string())
    };
    let with = |change: &dyn Fn(&mut PlotOptions)| {
        let mut options = PlotOptions::default();
        change(&mut options);
        options
    };
    let cases: [(PlotKind, PlotOptions, &str); 5] = [
        (PlotKind::Bar, with(&|o| o.instance = 2), "instance 2 of 2"),
        (PlotKind::Bar, with(&|o| o.output = 2), "output 2 of 2"),
        (PlotKind::Bar, with(&|o| o.top = 0), "top 0"),
        (PlotKind::Dependence, with(&|o| o.feature = Some(3)), "feature 3"),
        (PlotKind::Groups, with(&|o| o.by = Some(9)), "feature 9"),
    ];
    for (kind, options, says) in cases {
        let error = svg(&document, kind, &options).unwrap_err();
        assert!(error.contains(says), "{kind}: {error}");
    }
    for instance in &mut document.instances {
        for output in &mut instance.outputs {
            (output.interactions, output.conditions) = (None, None);
        }
    }
    for (kind, says) in [
        (PlotKind::Matrix, "interactions"),
        (PlotKind::Network, "interactions"),
        (PlotKind::Conditions, "conditions"),
    ] {
        assert!(svg(&document, kind, &PlotOptions::default()).unwrap_err().contains(says));
    }
    assert!(!plot::kinds_for(&document).contains(&PlotKind::Matrix));
    assert!("piechart".parse::<PlotKind>().unwrap_err().to_string().contains("waterfall"));
}

#[test]
fn interactions_are_drawn_with_their_errors() {
    let mut document = document(3, 1, Names::Short, Values::Ordinary);
    let drawn = |document: &Document, kind| {
        plot::svg(document, kind, &options(ThemeName::Light, Lettering::Text)).unwrap()
    };
    for kind in [PlotKind::Matrix, PlotKind::Network] {
        assert!(!drawn(&document, kind).contains("standard error"));
        document.instances[0].outputs[0].interaction_errors =
            Some(vec![vec![0.5, 0.25, f64::NAN], vec![0.25, 0.5, 0.75], vec![f64::NAN, 0.75, 0.5]]);
        let svg = drawn(&document, kind);
        assert!(svg.contains("(standard error 0.75)") && !svg.contains("NaN"), "{kind}");
        let read = Document::from_json(&document.to_json().unwrap()).unwrap();
        let errors = read.instances[0].outputs[0].interaction_errors.as_ref().unwrap();
        assert!(errors[1][2] == 0.75 && errors[0][2].is_nan());
        document.instances[0].outputs[0].interaction_errors = None;
    }
    document.instances[0].outputs[0].interaction_errors = Some(vec![vec![0.5; 2]; 3]);
    assert!(document.validate().is_err(), "a matrix of another size");
}

#[test]
fn the_waterfall_ends_where_the_network_says() {
    // base 0.25, effects 0.6 and −0.15: the steps' corners are at 0.25, 0.10 and 0.70 on one scale.
    let mut document = document(2, 1, Names::Short, Values::Ordinary);
    document.instances[0].outputs = vec![Output::new(0, "y", 0.7, 0.25, vec![0.6, -0.15])];
    let svg = plot::svg(&document, PlotKind::Waterfall, &options(ThemeName::Light, Lettering::Text)).unwrap();
    let xml = roxmltree::Document::parse(&svg).unwrap();
    let steps: Vec<(f64, f64)> = xml
        .descendants()
        .filter(|node| node.has_tag_name("polygon"))
        .map(|node| {
            let points: Vec<f64> = node
                .attribute("points")
                .unwrap()
                .split(' ')
                .map(|p| p.split(',').next().unwrap().parse().unwrap())
                .collect();
            (points[0], points[2])
        })
        .collect();
    let [strong, weak] = steps[..] else { panic!("two steps, not {steps:?}") };
    let per_unit = (strong.1 - strong.0) / 0.6;
    assert!(per_unit > 100.0);
    assert!(((weak.1 - weak.0) / per_unit + 0.15).abs() < 1e-3, "the weak step has its length");
    assert!((weak.1 - strong.0).abs() < 0.02, "the strong step begins where the weak one ends");
}

#[test]
fn a_document_of_a_photo_is_drawn_by_segment() {
    let text = r#"{"whybox":{"schema":1,"version":"0.1.0"},"method":"LIME","network":"n","device":"CPU","seed":0,
        "settings":{},"command":"","evaluations":10,"evaluations_per_second":5.0,"seconds":{},"warnings":[],
        "photo":{"width":2,"height":1},"prediction":{"scale":"probability","top":[]},
        "segments":{"count":2,"pixels":[1,1],"runs":"0:1 1:1"},
        "outputs":[{"index":3,"name":"cat","explained":"probability","prediction":0.9,"intercept":0.2,
        "local_prediction":0.8,"weighted_r_squared":null,"weights":[0.5,0.1],"standard_errors":[0.1,null]}]}"#;
    let document = Document::from_json(text).unwrap();
    assert_eq!(document.kind, Kind::Image);
    let svg = plot::svg(&document, PlotKind::Bar, &options(ThemeName::Light, Lettering::Text)).unwrap();
    assert!(svg.contains(">segment 0<") && svg.contains(">P(cat) = 0.900<"));
    assert_eq!(document.find_output("cat").unwrap(), 0);
    assert_eq!(document.find_output("3").unwrap(), 0);
}
