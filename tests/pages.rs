//! The pages of explained tables, texts and photos: what they hold, and how they work in a browser.

#[path = "common/browser.rs"]
mod browser;
#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/documents.rs"]
mod documents;

use browser::Browser;
use documents::{Names, Values, document};
use image::{Rgb, RgbImage};
use whybox::report::{ExplainedClass, ImageReport, PhotoSegments, Scale};

const SIZES: [(u32, u32); 2] = [(1200, 900), (500, 800)];

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
    let Some(browser) = Browser::find("the_page_works_in_a_browser") else { return };
    let probe = r#"
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
      said.fits = document.documentElement.scrollWidth <= innerWidth"#;
    let page = document(12, 3, Names::Short, Values::Ordinary).html().unwrap();
    for size in SIZES {
        let (said, errors) = browser.probe(&page, size, probe);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(said["cases"], 1);
        assert_eq!((&said["first"], &said["second"]), (&"Why class 0?".into(), &"Why class 1?".into()));
        assert!(said["row"].as_str().unwrap().ends_with("row 3"), "{said}");
        assert_eq!(said["plots"], "1 force");
        assert!(said["hover"].as_str().unwrap().contains("feature "), "{said}");
        assert!(said["tableHover"].as_str().unwrap().contains("95 % interval"), "{said}");
        assert_eq!(said["sorted"], true);
        assert_eq!(said["filtered"], 1);
        assert_eq!(said["fits"], true, "the page is no wider than its window");
    }
    // The listener does hear errors.
    let (_, errors) = browser.open("<script>throw new Error('heard')</script>", SIZES[0]);
    assert!(errors.iter().any(|e| e.contains("heard")), "{errors:?}");
}

/// Twelve segments of a photo for two classes; with standard errors.
fn explained_photo() -> ImageReport {
    let class = |(index, name): (usize, &str)| {
        let weights: Vec<f64> = (1..=12).map(|i| (f64::from(i) * (1.7 + index as f64)).sin() * 0.2).collect();
        ExplainedClass {
            name: name.into(),
            index,
            value: 0.7 / (index + 1) as f64,
            scale: Scale::Probability,
            intervals: Some(weights.iter().map(|w| (w - 0.02, w + 0.02)).collect()),
            standard_errors: Some((0..12).map(|i| 0.001 * f64::from(i)).collect()),
            weights,
            r_squared: Some(0.8),
            ..ExplainedClass::default()
        }
    };
    ImageReport {
        photo: RgbImage::from_fn(120, 80, |x, y| Rgb([2 * x as u8, 3 * y as u8, 90])),
        segments: PhotoSegments {
            labels: (0..120 * 80).map(|i| 4 * (i / 120 / 27).min(2) + i % 120 / 30).collect(),
            count: 12,
        },
        classes: ["tabby cat", "tiger cat"].into_iter().enumerate().map(class).collect(),
        prediction: vec![("tabby cat".into(), 0.7), ("tiger cat".into(), 0.2)],
        prediction_scale: Scale::Probability,
        method: "LIME".into(),
        surrogate: true,
        network: "net.onnx".into(),
        ..ImageReport::default()
    }
}

/// Every view, by pointer and by keys; the class switch and the exact values go along.
#[test]
fn the_views_of_a_photo_work_in_a_browser() {
    let Some(browser) = Browser::find("the_views_of_a_photo_work_in_a_browser") else { return };
    let probe = r##"
      const layers = () => shown("#stage .layer").filter((e) => e.getBoundingClientRect().width > 0)
        .map((e) => (e.getAttribute("class") ?? "").replace("layer ", "")).join(" ");
      said.start = layers();
      for (const button of shown("[data-look]")) {
        button.click();
        said[button.dataset.look] = layers();
        said["pressed " + button.dataset.look] = shown('[data-look][aria-pressed="true"]').length;
      }
      said.panels = shown("[data-choose]").length;
      said.pale = document.querySelectorAll("[data-choose] g[opacity]").length;
      shown("[data-choose]")[1].click();
      said.chosen = shown(".side h1")[0].textContent + " " + document.getElementById("stage").dataset.view;
      const key = (target, key) => target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      key(shown("[data-look]")[0], "ArrowRight");
      said.right = document.activeElement.dataset.look + " " + document.getElementById("stage").dataset.view;
      said.colour = document.getElementById("photo").getAttribute("filter");
      key(document.activeElement, "ArrowLeft");
      said.left = document.getElementById("stage").dataset.view;
      const path = document.getElementById("s3");
      path.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
      said.hover = document.getElementById("reading").textContent;
      said.label = path.getAttribute("aria-label");
      said.says = document.getElementById("says").textContent;
      said.fits = document.documentElement.scrollWidth <= innerWidth"##;
    let report = explained_photo();
    let page = report.html().unwrap();
    for size in SIZES {
        let (said, errors) = browser.probe(&page, size, probe);
        assert!(errors.is_empty(), "{errors:?}");
        for (view, layers) in [
            ("start", "for against strongest signed"),
            ("overlay", "for against strongest signed"),
            ("segments", "boundaries strongest"),
            ("positive", "for supporting signed"),
            ("negative", "against opposing signed"),
            ("top", "cut cut quiet"),
            ("errors", "errors errors"),
            ("classes", "panels common"),
        ] {
            assert_eq!(said[view], layers, "{view}: {said}");
            assert!(view == "start" || said[format!("pressed {view}")] == 1, "{view}: {said}");
        }
        assert_eq!((&said["panels"], &said["pale"]), (&2.into(), &2.into()));
        assert_eq!(said["chosen"], "Why tiger cat? overlay");
        assert_eq!(said["right"], "segments segments");
        assert_eq!(said["colour"], "none");
        assert_eq!(said["left"], "overlay");
        assert!(said["hover"].as_str().unwrap().contains("95 % interval"), "{said}");
        assert_eq!(said["hover"], said["label"]);
        assert!(said["says"].as_str().unwrap().starts_with("Orange"), "{said}");
        assert_eq!(said["fits"], true, "the page is no wider than its window");
    }
    // What there is nothing for is not offered.
    let mut bare = report;
    bare.classes.truncate(1);
    bare.classes[0].standard_errors = None;
    let page = bare.html().unwrap();
    assert!(page.contains("data-look=\"top\""));
    assert!(!page.contains("data-look=\"errors\"") && !page.contains("data-look=\"classes\""));
}
