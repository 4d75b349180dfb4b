//! The files and the text of an image report, over sizes and names that users really have.

use std::fs;

use image::{Rgb, RgbImage};
use resvg::usvg;
use whybox::Error;
use whybox::report::{
    BlockColours, ExplainedClass, ImageReport, OUTSIDE, PhotoSegments, SCHEMA, Scale, blocks, missing_glyphs,
    terminal,
};

/// A report over a `width` × `height` gradient cut into `segments` stretches of pixels.
fn report(width: u32, height: u32, segments: usize, names: &[&str]) -> ImageReport {
    let photo =
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 90]));
    let pixels = (width * height) as usize;
    let labels = (0..pixels).map(|i| (i * segments / pixels) as u32).collect();
    let weight = |i: usize| (i as f64 * 1.7).sin() * 0.2 / (1.0 + i as f64 * 0.05);
    let class = |(index, name): (usize, &&str)| ExplainedClass {
        name: name.to_string(),
        index,
        value: 0.6234 / (index + 1) as f64,
        scale: Scale::Probability,
        weights: (1..=segments).map(weight).collect(),
        standard_errors: Some(vec![0.01; segments]),
        intervals: Some((1..=segments).map(|i| (weight(i) - 0.0196, weight(i) + 0.0196)).collect()),
        intercept: 0.08,
        local_prediction: 0.6,
        r_squared: Some(0.8342),
        stability: None,
    };
    ImageReport {
        photo,
        segments: PhotoSegments { labels, count: segments },
        classes: names.iter().enumerate().map(class).collect(),
        prediction: vec![(names[0].to_string(), 0.6234), ("other".into(), 0.0002)],
        prediction_scale: Scale::Probability,
        method: "LIME".into(),
        surrogate: true,
        network: "net.onnx".into(),
        device: "a device".into(),
        evaluations: 1000,
        evaluations_per_second: 1234.5,
        seconds: vec![("load".into(), 0.2), ("run".into(), 0.8)],
        precision: None,
        seed: 42,
        settings: vec![("kernel width".into(), "0.25".into())],
        command: "whybox explain --seed 42".into(),
        warnings: vec![],
    }
}

/// Reads a figure with the embedded fonts.
fn parse(svg: &str) -> usvg::Tree {
    let mut options = usvg::Options::default();
    for name in ["DejaVuSans-subset.ttf", "DejaVuSans-Bold-subset.ttf"] {
        let path = format!("{}/assets/fonts/{name}", env!("CARGO_MANIFEST_DIR"));
        options.fontdb_mut().load_font_data(fs::read(path).unwrap());
    }
    usvg::Tree::from_str(svg, &options).expect("the figure is sound SVG")
}

/// Fails unless all text lies within the picture.
fn assert_text_inside(tree: &usvg::Tree) {
    fn visit(group: &usvg::Group, size: usvg::Size, seen: &mut usize) {
        for node in group.children() {
            match node {
                usvg::Node::Group(group) => visit(group, size, seen),
                usvg::Node::Text(text) => {
                    let b = text.abs_bounding_box();
                    let inside = b.left() >= 0.0 && b.right() <= size.width() && b.bottom() <= size.height();
                    assert!(inside, "text {:?} at {b:?} in {size:?}", text.chunks()[0].text());
                    *seen += 1;
                }
                _ => {}
            }
        }
    }
    let mut seen = 0;
    visit(tree.root(), tree.size(), &mut seen);
    assert!(seen > 5, "the figure has text");
}

#[test]
fn all_files_are_written_whole_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let report = report(60, 40, 12, &["tabby cat", "tiger cat"]);
    let paths = report.write(folder.path().join("new/folder")).unwrap();
    let mut names: Vec<_> = paths.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    let expected = [
        "explanation-2.png",
        "explanation-2.svg",
        "explanation.html",
        "explanation.json",
        "explanation.png",
        "explanation.svg",
    ];
    assert_eq!(names, expected);
    assert!(paths.iter().all(|p| fs::metadata(p).unwrap().len() > 0));
    let all = fs::read_dir(folder.path().join("new/folder")).unwrap().count();
    assert_eq!(all, expected.len(), "no temporary file stays");
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = report(8, 8, 2, &["cat"]).write(folder.path().join("file")).unwrap_err();
    assert!(matches!(&error, Error::Io(d) if d.at.ends_with("file") && !d.remedy.is_empty()), "{error}");
}

#[test]
fn the_figure_has_its_size_and_its_text_inside_whatever_the_photo() {
    let sizes = [(1, 1), (32, 32), (224, 224), (451, 300), (90, 400), (400, 90), (1600, 900), (2000, 3)];
    for (width, height) in sizes {
        let report = report(width, height, (width * height).min(20) as usize, &["tabby cat"]);
        let tree = parse(&report.svg(0).unwrap());
        assert_text_inside(&tree);
        assert!((700.0..1200.0).contains(&tree.size().width()), "{width} × {height}");
        assert!(tree.size().height() < 1300.0, "{width} × {height}");
        let png = image::load_from_memory(&report.png(0).unwrap()).unwrap();
        let expected = (tree.size().width() * 2.0, tree.size().height() * 2.0);
        assert!((png.width() as f32 - expected.0).abs() <= 1.0, "{width} × {height}");
        assert!((png.height() as f32 - expected.1).abs() <= 1.0, "{width} × {height}");
    }
}

#[test]
fn any_number_of_segments_is_drawn() {
    for segments in [1, 2, 70, 500] {
        let report = report(100, 80, segments, &["cat"]);
        assert_text_inside(&parse(&report.svg(0).unwrap()));
        let html = report.html().unwrap();
        assert_eq!(html.matches("role=\"option\"").count(), segments);
        assert!(html.contains(&format!("{segments} segment")));
        assert!(terminal(&report, false, 80).contains("segment 0"));
    }
}

#[test]
fn long_and_foreign_names_stay_in_the_picture_and_missing_glyphs_are_named() {
    let long = "Donaudampfschifffahrtsgesellschaftskapitänsmütze ".repeat(5);
    let names = [long.as_str(), "Полосатая кошка", "τιγρέ γάτα", "虎斑猫", "a\u{1b}[31m\u{0}\nb", ""];
    for name in names {
        let report = report(64, 64, 6, &[name]);
        assert_text_inside(&parse(&report.svg(0).unwrap()));
        let missing = missing_glyphs(name);
        let warnings = report.all_warnings().concat();
        assert!(missing.iter().all(|c| warnings.contains(*c)), "{name}: {warnings}");
        assert_eq!(missing.is_empty(), warnings.is_empty(), "{name}");
        report.html().unwrap();
        let text = terminal(&report, false, 80);
        assert!(!text.contains('\u{1b}') && text.lines().all(|l| l.chars().count() <= 80), "{text}");
    }
    assert_eq!(missing_glyphs("虎斑猫"), ['虎', '斑', '猫']);
}

#[test]
fn weights_of_zero_say_so() {
    let mut report = report(50, 50, 4, &["cat"]);
    report.classes[0].weights = vec![0.0; 4];
    report.classes[0].standard_errors = None;
    report.classes[0].r_squared = None;
    assert!(report.svg(0).unwrap().contains("no segment has an effect"));
    assert!(report.html().unwrap().contains("No segment has an effect."));
    let text = terminal(&report, false, 80);
    assert!(text.contains("no segment has an effect") && text.contains("weighted R² undefined"));
    assert!(!report.svg(0).unwrap().contains("NaN") && !report.html().unwrap().contains("NaN"));
}

#[test]
fn the_page_refers_to_nothing_outside_and_escapes_names() {
    let mut report = report(40, 40, 5, &["<script>alert(1)</script>", "\"quoted\" & 'more'"]);
    report.warnings.push("<img src=x onerror=alert(2)>".into());
    report.command = "whybox </code><script>alert(3)</script>".into();
    let html = report.html().unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert_eq!(html.matches("<script").count(), 1, "only the page's own");
    assert!(!html.contains("<img"));
    for outside in ["http:", "https:", "//cdn", "@import", "url(http", " src="] {
        // The one ` src=` is text of a warning, escaped.
        let found = html.matches(outside).count();
        assert_eq!(found, html.matches("&lt;img").count() * usize::from(outside == " src="), "{outside}");
    }
    let references = html.split("href=\"").skip(1);
    assert!(references.clone().count() > 0);
    for reference in references {
        let inside = reference.starts_with("data:image/") || reference.starts_with('#');
        assert!(inside, "{}", &reference[..20]);
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn the_page_gives_exact_weights_with_their_interval() {
    let mut report = report(40, 40, 2, &["cat"]);
    report.classes[0].weights = vec![0.123456789, -0.05];
    report.classes[0].intervals = Some(vec![(0.103856789, 0.143056789), (-0.0696, -0.0304)]);
    let html = report.html().unwrap();
    assert!(html.contains("Segment 0: +0.123457 ± 0.0100000 (95 % interval +0.103857 to +0.143057)"));
    assert!(html.contains("−0.050"));
}

#[test]
fn the_document_holds_every_number_and_the_segment_map() {
    let mut report = report(7, 5, 3, &["tabby cat"]);
    report.segments.labels[0] = OUTSIDE;
    report.classes[0].weights = vec![0.1 + 0.2, -1e-300, 0.0];
    report.classes[0].standard_errors = Some(vec![0.5, f64::NAN, 0.25]);
    let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!(json["whybox"]["schema"], SCHEMA);
    assert_eq!(json["evaluations"], 1000);
    assert_eq!(json["seconds"]["run"], 0.8);
    assert_eq!(json["settings"]["kernel width"], "0.25");
    let output = &json["outputs"][0];
    assert_eq!(output["explained"], "probability");
    assert_eq!(output["weights"][0].as_f64(), Some(0.1 + 0.2));
    assert_eq!(output["weights"][1].as_f64(), Some(-1e-300));
    assert!(output["standard_errors"][1].is_null());

    let mut labels = Vec::new();
    for run in json["segments"]["runs"].as_str().unwrap().split(' ') {
        let (label, length) = run.split_once(':').unwrap();
        let label = if label == "-" { OUTSIDE } else { label.parse().unwrap() };
        labels.extend(std::iter::repeat_n(label, length.parse().unwrap()));
    }
    assert_eq!(labels, report.segments.labels);
    let pixels: Vec<_> = report.segments.pixels().iter().map(|&n| serde_json::json!(n)).collect();
    assert_eq!(json["segments"]["pixels"], serde_json::json!(pixels));
}

#[test]
fn the_terminal_text_is_the_same_without_colours() {
    let report = report(40, 40, 8, &["tabby cat"]);
    let (plain, colour) = (terminal(&report, false, 80), terminal(&report, true, 80));
    assert!(colour.contains("\u{1b}[1m") && !plain.contains('\u{1b}'));
    let mut stripped = String::new();
    for part in colour.split('\u{1b}') {
        stripped.push_str(part.split_once('m').filter(|_| part.starts_with('[')).map_or(part, |(_, t)| t));
    }
    assert_eq!(stripped, plain);
    for word in ["LIME", "a device", "1,000", "1,235 per second", "62.3 %", "0.834", "load 200 ms"] {
        assert!(plain.contains(word), "{word} in\n{plain}");
    }
}

#[test]
fn maps_as_blocks_keep_to_their_room_and_show_the_signs() {
    let mut report = report(80, 40, 2, &["tabby cat", "tiger cat", "猫".repeat(40).as_str()]);
    for class in &mut report.classes {
        class.weights = vec![0.5, -0.5];
    }
    let visible = |text: &str| {
        let mut plain = String::new();
        for part in text.split('\u{1b}') {
            plain.push_str(
                part.split_once('m').filter(|_| part.starts_with('[')).map_or(part, |(_, rest)| rest),
            );
        }
        plain
    };
    for (colours, mark) in [(BlockColours::True, "[38;2;"), (BlockColours::Palette, "[38;5;")] {
        for (columns, rows) in [(10, 4), (60, 20), (110, 30), (400, 12)] {
            let text = blocks(&report, colours, columns, rows).unwrap();
            assert!(text.contains(mark));
            let plain = visible(&text);
            let lines: Vec<&str> = plain.lines().collect();
            assert!(lines.len() <= rows + 2, "{columns} × {rows}");
            let widest = lines.iter().map(|line| unicode_width::UnicodeWidthStr::width(*line)).max().unwrap();
            // The colour bar takes its 40 columns.
            assert!(widest <= columns.max(40), "{columns} × {rows}: {widest}");
            assert!(lines[1].starts_with('▀') && !plain.contains('\u{1b}'));
        }
    }
    // The upper half of the photo speaks for the class and is orange, the lower half is blue.
    let text = blocks(&report, BlockColours::True, 24, 10).unwrap();
    let first = |line: &str| -> Vec<u8> {
        let colour = line.split("[38;2;").nth(1).unwrap().split('m').next().unwrap();
        colour.split(';').map(|part| part.parse().unwrap()).collect()
    };
    let lines: Vec<&str> = text.lines().collect();
    let (upper, lower) = (first(lines[1]), first(lines[lines.len() - 2]));
    assert!(upper[0] > upper[2] + 60 && lower[2] > lower[0] + 60, "{upper:?} {lower:?}");
    report.classes.clear();
    assert!(matches!(blocks(&report, BlockColours::True, 80, 20), Err(Error::Parameter(_))));
}

#[test]
fn contradictions_are_errors() {
    let good = || report(10, 10, 4, &["cat"]);
    assert!(good().validate().is_ok());
    type Break = fn(&mut ImageReport);
    let parameter: [(&str, Break); 6] = [
        ("empty photo", |r| r.photo = RgbImage::new(0, 3)),
        ("map size", |r| r.segments.labels.truncate(9)),
        ("stray label", |r| r.segments.labels[5] = 4),
        ("no class", |r| r.classes.clear()),
        ("weights", |r| r.classes[0].weights.truncate(1)),
        ("errors", |r| r.classes[0].standard_errors = Some(vec![])),
    ];
    for (name, spoil) in parameter {
        let mut report = good();
        spoil(&mut report);
        assert!(matches!(report.html(), Err(Error::Parameter(_))), "{name}");
    }
    let mut report = good();
    report.classes[0].weights[2] = f64::NAN;
    assert!(matches!(report.json(), Err(Error::Numeric(_))));
    assert!(matches!(good().svg(1), Err(Error::Parameter(_))));
}
