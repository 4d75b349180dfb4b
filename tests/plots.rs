//! Plots, pages and terminal text of explained tables and texts.

use std::process::Command;
use std::sync::Arc;

use resvg::usvg::{self, fontdb, roxmltree};
use whybox::report::document::{Document, Explained, Feature, Instance, Kind, Output, Stability};
use whybox::report::plot::{self, Lettering, PlotKind, PlotOptions, ThemeName};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Names {
    Short,
    Long,
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Values {
    Ordinary,
    Zero,
    Tiny,
    Huge,
    Mixed,
    FarFromZero,
}

/// Numbers that look random and are not.
fn noise(i: usize) -> f64 {
    let x = (i as f64 + 1.0) * 12.989_8;
    (x.sin() * 43_758.545_3).fract()
}

fn name(style: Names, i: usize) -> String {
    match style {
        Names::Short => format!("feature {i}"),
        Names::Long => format!(
            "the number of Donaudampfschifffahrtsgesellschaftskapitäne whom the person has met since {i}"
        ),
        Names::Foreign => {
            ["возраст пассажира", "年齢と性別の組み合わせ", "عمر الراكب", "ηλικία", "a\u{202e}b\tc"][i % 5]
                .to_owned()
                + &i.to_string()
        }
    }
}

fn document(features: usize, instances: usize, names: Names, values: Values) -> Document {
    let effect = |i: usize, f: usize| {
        let x = noise(i * 613 + f * 7) / (1.0 + f as f64 * 0.2);
        match values {
            Values::Ordinary | Values::FarFromZero => x,
            Values::Zero => 0.0,
            Values::Tiny => x * 1e-12,
            Values::Huge => x * 1e12,
            Values::Mixed => x * [1e-12, 1.0, 1e12][f % 3],
        }
    };
    let instance = |i: usize| {
        let number = |f: usize| if f % 4 == 3 { f64::NAN } else { (noise(i + 31 * f) * 100.0).round() };
        let text = |f: usize| match (number(f).is_nan(), names) {
            (true, Names::Short) => ["red", "green", "blue"][(i + f) % 3].to_owned(),
            (true, _) => name(names, (i + f) % 3),
            (false, _) => format!("{}", number(f)),
        };
        let output = |index: usize| {
            let sign = if index == 0 { 1.0 } else { -1.0 };
            let effects: Vec<f64> = (0..features).map(|f| sign * effect(i, f)).collect();
            let base = match values {
                Values::Zero => 0.0,
                Values::FarFromZero => 1e12,
                _ => 0.25,
            };
            let sum = base + effects.iter().sum::<f64>();
            let label = if names == Names::Short { format!("class {index}") } else { name(names, index) };
            // Every other instance has a surrogate that misses the output.
            let missed = if i.is_multiple_of(2) { 0.05 * sum } else { 0.0 };
            let mut output = Output::new(index, label, sum + missed, base, effects);
            output.weighted_r_squared = 0.9 - 0.5 * noise(i).abs();
            output.standard_errors = Some((0..features).map(|f| effect(i, f).abs() * 0.3).collect());
            output.conditions =
                Some((0..features).map(|f| format!("{} ≤ {}", name(names, f), text(f))).collect());
            output.stability =
                Some(Stability { runs: 10, variables: 91.0, coefficients: 84.0, ..Default::default() });
            // Quadratic in the features, so for the instance that is plotted only.
            let row = |a: usize| {
                (0..features).map(|b| effect(a.min(b), a.max(b)) * if a == b { 1.0 } else { 0.3 }).collect()
            };
            output.interactions = (i == 0).then(|| (0..features).map(row).collect());
            output
        };
        Instance {
            row: Some(i * 3),
            values: (0..features).map(text).collect(),
            numbers: (0..features).map(number).collect(),
            outputs: vec![output(0), output(1)],
        }
    };
    Document {
        kind: Kind::Table,
        method: if names == Names::Long {
            "Kernel SHAP with a long name ".repeat(8)
        } else {
            "Kernel SHAP".into()
        },
        network: "net.onnx".into(),
        device: "CPU".into(),
        seed: 7,
        settings: vec![("samples".into(), "2048".into()), ("background".into(), "100 rows".into())],
        command: "whybox table rows.csv --model net.onnx --rows all".into(),
        link: "identity".into(),
        explained: Explained::Probability,
        evaluations: 123_456,
        evaluations_per_second: 1e6,
        seconds: vec![("import".into(), 0.01), ("evaluate".into(), 0.2)],
        warnings: vec!["Mind the gap.".into()],
        features: (0..features).map(|f| Feature::new(name(names, f))).collect(),
        instances: (0..instances).map(instance).collect(),
        ..Document::default()
    }
}

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

#[test]
fn the_page_holds_every_value_and_loads_nothing() {
    let document = document(30, 3, Names::Short, Values::Ordinary);
    let page = document.html().unwrap();
    for instance in &document.instances {
        for output in &instance.outputs {
            for (f, value) in output.values.iter().enumerate() {
                assert!(page.contains(&format!("data-effect=\"{value}\"")), "feature {f}");
                assert!(page.contains(&instance.values[f]));
            }
        }
    }
    for fact in [
        "123,456",
        "2048",
        &document.command,
        "Mind the gap.",
        "Weighted R²",
        "Clear of zero",
        "default-src 'none'",
    ] {
        assert!(page.contains(fact), "{fact}");
    }
    for load in ["<link", "src=\"http", "url(http", "@import"] {
        assert!(!page.contains(load), "{load}");
    }
    // A name is text, never markup.
    let mut hostile = document;
    hostile.features[0].name = "<script>alert(1)</script>".into();
    hostile.command = "</pre><script>".into();
    let page = hostile.html().unwrap();
    assert_eq!(page.matches("<script>").count(), 1);
    // Many instances: a part by section, all in the plots.
    let page = self::document(4, 300, Names::Foreign, Values::Mixed).html().unwrap();
    assert!(page.contains("first 20 of 300 instances"));
}

/// A browser with the page and a script behind it: the class switch, the hover, sorting and filtering.
#[test]
fn the_page_works_in_a_browser() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()))
    else {
        println!("skipped: the_page_works_in_a_browser (no chromium)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let probe = r#"<script>
      const said = {}, shown = (s) => [...document.querySelectorAll(s)].filter((e) => e.checkVisibility());
      said.cases = shown(".case").length;
      said.first = shown(".case h1")[0].textContent;
      document.querySelector('button[data-output="1"]').click();
      said.second = shown(".case h1")[0].textContent;
      const pick = document.getElementById("instance");
      pick.value = "1"; pick.dispatchEvent(new Event("change"));
      said.row = shown(".case p.value")[0].textContent;
      shown('.case button[data-plot="force"]')[0].click();
      said.plots = shown(".case .plot").length + " " + shown(".case .plot")[0].dataset.plot;
      const mark = shown(".case .plot svg polygon")[0];
      mark.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
      said.hover = document.getElementById("reading").textContent;
      shown(".features tbody tr")[0].dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
      said.tableHover = document.getElementById("reading").textContent;
      shown('[data-sort="effect"]')[0].click();
      said.sorted = shown(".features tbody tr").map((r) => Number(r.dataset.effect)).every((v, i, a) => !i || a[i - 1] >= v);
      const filter = shown(".filter input")[0];
      filter.value = "feature 2"; filter.dispatchEvent(new Event("input"));
      said.filtered = shown(".features tbody tr").length;
      said.wide = document.documentElement.scrollWidth <= innerWidth;
      document.body.textContent = "SAID" + JSON.stringify(said) + "DIAS";
    </script></body>"#;
    let page = document(12, 3, Names::Short, Values::Ordinary).html().unwrap();
    let run = |name: &str, page: &str, arguments: &[&str]| {
        let path = folder.path().join(name);
        std::fs::write(&path, page).unwrap();
        let out = Command::new(browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .args(arguments)
            .arg(format!("file://{}", path.display()))
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        let errors: Vec<String> = log.lines().filter(|l| l.contains("CONSOLE")).map(str::to_owned).collect();
        (String::from_utf8_lossy(&out.stdout).into_owned(), errors)
    };
    for size in ["--window-size=1200,900", "--window-size=500,800"] {
        let (dom, errors) = run("page.html", &page.replace("</body>", probe), &[size, "--dump-dom"]);
        assert!(errors.is_empty(), "{errors:?}");
        let said = dom
            .split("SAID")
            .nth(1)
            .and_then(|t| t.split("DIAS").next())
            .unwrap_or_else(|| panic!("{dom:.500}"));
        let said: serde_json::Value =
            serde_json::from_str(&said.replace("&gt;", ">").replace("&lt;", "<")).unwrap();
        assert_eq!(said["cases"], 1);
        assert_eq!((&said["first"], &said["second"]), (&"Why class 0?".into(), &"Why class 1?".into()));
        assert!(said["row"].as_str().unwrap().ends_with("row 3"), "{said}");
        assert_eq!(said["plots"], "1 force");
        assert!(said["hover"].as_str().unwrap().contains("feature "), "{said}");
        assert!(said["tableHover"].as_str().unwrap().contains("95 % interval"), "{said}");
        assert_eq!(said["sorted"], true);
        assert_eq!(said["filtered"], 1);
        assert_eq!(said["wide"], true, "the page is no wider than its window");
    }
    // The listener does hear errors.
    let (_, errors) = run("broken.html", "<script>throw new Error('heard')</script>", &["--dump-dom"]);
    assert!(errors.iter().any(|e| e.contains("heard")), "{errors:?}");
}

#[test]
fn the_command_draws_files_and_bars() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("explanation.json");
    std::fs::write(&json, document(6, 4, Names::Short, Values::Ordinary).to_json().unwrap()).unwrap();
    let run = |arguments: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_whybox"))
            .arg("plot")
            .arg(&json)
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    };
    for (file, more) in [
        ("a.svg", &["--kind", "waterfall"][..]),
        (
            "b/c.png",
            &["--kind", "dependence", "--feature", "feature 1", "--by", "feature 2", "--theme", "dark"],
        ),
        ("page.html", &[]),
    ] {
        let (good, out, err) = run(&[&["--out", file][..], more].concat());
        assert!(good && out.contains("wrote"), "{out}{err}");
        assert!(std::fs::metadata(folder.path().join(file)).unwrap().len() > 1000);
    }
    let (good, out, _) = run(&["--output", "class 1", "--instance", "2", "--top", "3"]);
    assert!(
        good && out.contains("P(class 1)")
            && out.contains("row 6")
            && out.contains("3 other features")
            && !out.contains('\x1b')
    );
    let cases: [(&[&str], &str); 6] = [
        (&["--out", "x.svg"], "waterfall"),
        (&["--out", "x.bmp", "--kind", "bar"], ".svg, .png or .html"),
        (&["--kind", "bar", "--out", "x.svg", "--output", "nobody"], "class 0, class 1"),
        (&["--kind", "bar", "--out", "x.svg", "--instance", "4"], "instance 4 of 4"),
        (&["--kind", "dependence", "--out", "x.svg", "--feature", "nothing"], "feature 0"),
        (&["--kind", "pie", "--out", "x.svg"], "beeswarm"),
    ];
    for (arguments, says) in cases {
        let (good, _, err) = run(arguments);
        assert!(!good && err.contains(says), "{arguments:?}: {err}");
    }
    std::fs::write(&json, "{}").unwrap();
    let (good, _, err) = run(&[]);
    assert!(!good && err.contains("no explanation") && err.contains("explanation.json"), "{err}");
}
