//! `whybox table` and `whybox text` as a user runs them, and what bad tables are told.

#[allow(dead_code, reason = "shared with other test files")]
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use program::{bad, folder, good, whybox};
use serde_json::Value;
use whybox::Error;
use whybox::table::{BackgroundChoice, Encoding, Groups, Kind, Missing, RawTable};

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/table").join(name)
}

fn raw(text: &str) -> RawTable {
    RawTable::parse(text.as_bytes(), "t.csv").expect("a table")
}

/// The error names all of `words`.
fn names<T: std::fmt::Debug>(result: Result<T, Error>, words: &[&str]) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Parameter(_)), "{error:?}");
    words
        .iter()
        .for_each(|word| assert!(error.to_string().contains(word), "{word:?} is missing in: {error}"));
}

#[test]
fn the_built_in_table_is_explained_at_once() {
    let folder = folder();
    let text = good(&whybox(folder.path(), &["table"]));
    for word in
        ["Kernel SHAP", "breast_cancer_mlp", "CPU", "malignant", "Row 0", "logit", "R²", "±", "█", "worst"]
    {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 110));
    let out = folder.path().join("whybox-out");
    for ending in ["json", "csv", "npz", "html", "svg", "png"] {
        assert!(out.join(format!("explanation.{ending}")).exists(), "{ending}");
    }
    assert!(out.join("encoding.toml").exists());
    let text = good(&whybox(folder.path(), &["table", "--method", "lime"]));
    for word in ["LIME", "probability", "R²", "5,000", "<="] {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

#[test]
fn the_document_has_the_written_schema_and_repeats_itself() {
    let folder = folder();
    let run = || {
        let arguments =
            ["table", "--method", "lime", "--rows", "3,10-11", "--top", "2", "--samples", "600", "--json"];
        serde_json::from_str::<Value>(&good(&whybox(folder.path(), &arguments))).expect("JSON")
    };
    let document = run();
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md")).unwrap();
    let manual = &manual[manual.find("## Tables and texts").expect("a section")..];
    let more = ["table", "--method", "lime", "--samples", "200", "--stability", "2", "--pick", "1", "--json"];
    let more = serde_json::from_str::<Value>(&good(&whybox(folder.path(), &more))).expect("JSON");
    assert!(more["picked"].is_array() && more["instances"][0]["outputs"][0]["stability"].is_object());
    for path in fields("", &document).into_iter().chain(fields("", &more)) {
        if !path.starts_with("settings.") && !path.starts_with("seconds.") {
            assert!(manual.contains(&format!("`{path}`")), "{path} is not in docs/json.md");
        }
    }
    assert!(more["instances"][0]["outputs"][0]["stability"]["fits"][0]["kernel_width"].is_number());
    assert_eq!(document["kind"], "table");
    assert_eq!(document["features"].as_array().unwrap().len(), 30);
    let rows: Vec<u64> =
        document["instances"].as_array().unwrap().iter().map(|i| i["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, [3, 10, 11]);
    for instance in document["instances"].as_array().unwrap() {
        assert_eq!(instance["values"].as_array().unwrap().len(), 30);
        assert_eq!(instance["outputs"].as_array().unwrap().len(), 2);
        for output in instance["outputs"].as_array().unwrap() {
            let sum: f64 = output["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).sum();
            let local = output["base_value"].as_f64().unwrap() + sum;
            // All columns are in bins, so the surrogate at the instance is the sum.
            assert!((local - output["local_prediction"].as_f64().unwrap()).abs() < 1e-9);
        }
    }
    assert_eq!(document["evaluations"], 1800);
    assert_eq!(document["instances"], run()["instances"]);
}

#[test]
fn the_document_of_a_photo_has_the_written_schema() {
    let folder = folder();
    let arguments =
        ["image", "--segments", "grid:rows=3,cols=3", "--samples", "50", "--stability", "2", "--json"];
    let document: Value = serde_json::from_str(&good(&whybox(folder.path(), &arguments))).expect("JSON");
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md")).unwrap();
    let manual = &manual[..manual.find("## Tables and texts").expect("a section")];
    let paths = fields("", &document);
    for path in ["outputs[].stability.spread", "outputs[].stability.fits[].kernel_width", "segments.runs"] {
        assert!(paths.iter().any(|found| found == path), "{path} is not in {paths:?}");
    }
    for path in paths {
        if !path.starts_with("settings.") && !path.starts_with("seconds.") {
            assert!(manual.contains(&format!("`{path}`")), "{path} is not in docs/json.md");
        }
    }
}

/// The paths of all fields; elements of arrays are one path.
fn fields(path: &str, value: &Value) -> Vec<String> {
    let below = |value: &Value, path: String| {
        let mut all = fields(&path, value);
        if !value.is_object() && all.is_empty() {
            all.push(path);
        }
        all
    };
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(name, value)| {
                below(value, if path.is_empty() { name.clone() } else { format!("{path}.{name}") })
            })
            .collect(),
        Value::Array(list) if list.first().is_some_and(Value::is_object) => {
            fields(&format!("{path}[]"), &list[0])
        }
        _ => Vec::new(),
    }
}

#[test]
fn arrays_and_csv_hold_what_the_document_holds() {
    let folder = folder();
    good(&whybox(folder.path(), &["table", "--rows", "0,5", "--samples", "300", "--out", "r"]));
    let out = folder.path().join("r");
    let document: Value = serde_json::from_slice(&fs::read(out.join("explanation.json")).unwrap()).unwrap();
    let mut archive = zip::ZipArchive::new(fs::File::open(out.join("explanation.npz")).unwrap()).unwrap();
    let mut bytes = Vec::new();
    archive.by_name("values.npy").unwrap().read_to_end(&mut bytes).unwrap();
    let values = npyz::NpyFile::new(&bytes[..]).unwrap();
    assert_eq!(values.shape(), [2, 30, 1]);
    let values: Vec<f64> = values.into_vec().unwrap();
    let mut reader = csv::Reader::from_path(out.join("explanation.csv")).unwrap();
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 60);
    for (at, line) in lines.iter().enumerate() {
        let written = &document["instances"][at / 30]["outputs"][0]["values"][at % 30];
        // serde_json reads numbers to the last bit but one.
        assert!((values[at] - written.as_f64().unwrap()).abs() <= 1e-15 * values[at].abs());
        assert_eq!(line[5].parse::<f64>().unwrap(), values[at]);
    }
}

#[test]
fn the_committed_groups_are_twenty_players() {
    let table = whybox::builtin::table().unwrap().without(&["diagnosis".into()]).unwrap();
    let encoding = Encoding::infer(&table, Missing::Error, Some(30)).unwrap();
    let (players, columns) =
        Groups::read(asset("breast_cancer_groups20.toml")).unwrap().players(&encoding).unwrap();
    assert_eq!(players.len(), 20);
    let mut all: Vec<usize> = columns.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..30));
    names(
        Groups::parse("[[group]]\nname=\"a\"\nfeatures=[\"mean radius\", \"x\"]", "g")
            .unwrap()
            .players(&encoding),
        &["\"x\"", "mean radius"],
    );
    names(
        Groups::parse("[[group]]\nname=\"a\"\nfeatures=[\"mean area\",\"mean area\"]", "g")
            .unwrap()
            .players(&encoding),
        &["two groups"],
    );
}

#[test]
fn quoted_commas_and_any_line_end_are_read() {
    for end in ["\n", "\r\n"] {
        let text = ["a,\"b, c\",d", "1,\"x, \"\"y\"\"\", 2 ", "3,z,4"].join(end);
        let table = RawTable::parse(format!("\u{feff}{text}").as_bytes(), "t.csv").unwrap();
        assert_eq!(table.columns(), ["a", "b, c", "d"]);
        assert_eq!((table.cell(0, 1), table.cell(0, 2), table.rows()), ("x, \"y\"", "2", 2));
        // A file is read as its text is.
        let folder = folder();
        let path = folder.path().join("t.csv");
        fs::write(&path, format!("\u{feff}{text}")).unwrap();
        let read = RawTable::read(&path).unwrap();
        assert_eq!(read.columns(), table.columns());
        assert_eq!(read.column(1).collect::<Vec<_>>(), ["x, \"y\"", "z"]);
        assert!(matches!(RawTable::read(folder.path()), Err(Error::Io(_))));
    }
    // Empty cells, the first one too, and what is left without a column.
    let table = raw("a,b,c\n,,x\ny,,\n");
    assert_eq!(table.column(0).chain(table.column(2)).collect::<Vec<_>>(), ["", "y", "x", ""]);
    let less = table.without(&["b".into()]).unwrap();
    assert_eq!(less.column(0).chain(less.column(1)).collect::<Vec<_>>(), ["", "y", "x", ""]);
    assert_eq!(less, raw("a,c\n,x\ny,\n"));
}

#[test]
fn broken_tables_are_told_what_and_where() {
    for (text, words) in [
        (&b""[..], &["empty"][..]),
        (b"a,b\n", &["no rows"]),
        (b"a,b\n1,2\n3\n", &["line 3", "1 cells", "2 columns"]),
        (b"a,b\n1,\xff\n", &["UTF-8", "line 2"]),
        (b"a,a\n1,2\n", &["two columns", "\"a\""]),
        (b"a,\n1,2\n", &["column 2 has no name"]),
        (b"1,2\n3,4\n", &["\"1\"", "number"]),
    ] {
        names(RawTable::parse(text, "t.csv"), words);
    }
    names(raw("a,b\n1,2\n").without(&["c".into()]), &["\"c\"", "a, b"]);
    names(raw("a\n1\n").without(&["a".into()]), &["no column is left"]);
}

#[test]
fn missing_cells_are_filled_as_stated() {
    let table = raw("age,colour\n1,red\nNA,red\n4,?\n7,blue\n8,\n");
    let unfilled = Encoding::infer(&table, Missing::Error, None).unwrap();
    names(unfilled.codes(&table), &["missing", "row 1", "age", "--missing"]);
    for (missing, age) in [(Missing::Median, 5.5), (Missing::MostFrequent, 1.0)] {
        let encoding = Encoding::infer(&table, missing, None).unwrap();
        let codes = encoding.codes(&table).unwrap();
        assert_eq!(codes.column(0).to_vec(), [1.0, age, 4.0, 7.0, 8.0]);
        // blue is 0, red is 1 and the most frequent.
        assert_eq!(codes.column(1).to_vec(), [1.0, 1.0, 1.0, 0.0, 1.0]);
        // The file that is written reads back as the same encoding.
        assert_eq!(Encoding::parse(&encoding.to_toml().unwrap(), "e.toml").unwrap(), encoding);
    }
    names(Encoding::infer(&raw("a,b\n,1\nNA,2\n"), Missing::Median, None), &["\"a\"", "no value"]);
}

#[test]
fn encodings_name_what_does_not_fit() {
    let table = raw("age,colour\n1,red\n2,blue\n");
    let encoding = Encoding::infer(&table, Missing::Error, Some(3)).unwrap();
    assert_eq!(encoding.names(), ["age", "colour=blue", "colour=red"]);
    let ordinal = Encoding::infer(&table, Missing::Error, Some(2)).unwrap();
    assert_eq!((ordinal.columns()[1].kind, ordinal.width()), (Kind::Ordinal, 2));
    names(Encoding::infer(&table, Missing::Error, Some(7)), &["3 numbers", "takes 7", "colour (2)"]);
    names(encoding.codes(&raw("age,colour\n1,green\n")), &["\"green\"", "row 0", "colour", "blue, red"]);
    names(encoding.codes(&raw("age,colour\ninf,red\n")), &["finite", "row 0", "age"]);
    names(encoding.codes(&raw("age,colour\nold,red\n")), &["\"old\"", "no number"]);
    names(encoding.codes(&raw("age\n1\n")), &["no column \"colour\""]);
    let given = "[[column]]\nname=\"sex\"\ntype=\"ordinal\"\ncategories=[\"f\",\"m\"]\nvalues=[-1.0,2.5]\n";
    let given = Encoding::parse(given, "e.toml").unwrap();
    let codes = given.codes(&raw("sex\nm\nf\n")).unwrap();
    assert_eq!(given.expand(codes.view()).column(0).to_vec(), [2.5, -1.0]);
    for text in [
        "",
        "column = 3",
        "[[column]]\nname=\"a\"\ntype=\"one-hot\"\n",
        "[[column]]\nname=\"a\"\ntype=\"number\"\nfill=\"x\"\n",
    ] {
        assert!(matches!(Encoding::parse(text, "e.toml"), Err(Error::Parameter(_))), "{text}");
    }
}

#[test]
fn backgrounds_have_weights_and_the_tables_columns() {
    let table = raw("a,b\n1,5\n2,5\n2,5\n9,6\n");
    let encoding = Encoding::infer(&table, Missing::Error, None).unwrap();
    let rows = encoding.expand(encoding.codes(&table).unwrap().view());
    let choose = |text: &str| text.parse::<BackgroundChoice>().unwrap().rows(rows.view(), &encoding, 3);
    for (text, count) in [("all", 4), ("1", 1), ("3", 3), ("900", 4), ("kmeans:2", 2), ("kmeans:4", 3)] {
        let background = choose(text).unwrap();
        // Equal rows are one centre.
        assert_eq!((background.rows.nrows(), background.weights.len()), (count, count), "{text}");
        assert!((background.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(
            background.rows.outer_iter().all(|row| rows.outer_iter().any(|other| other == row)),
            "{text}"
        );
    }
    assert_eq!(choose("3").unwrap(), choose("3").unwrap());
    names(choose("0"), &["--background 0"]);
    names(choose("kmeans:5"), &["5 centres", "4"]);
    names("kmeans:x".parse::<BackgroundChoice>(), &["kmeans:10"]);
    let folder = folder();
    let other = folder.path().join("other.csv");
    fs::write(&other, "a\n1\n").unwrap();
    names(BackgroundChoice::File(other).rows(rows.view(), &encoding, 0), &["no column \"b\""]);
}

#[test]
fn wrong_use_is_told() {
    let folder = folder();
    let table = asset("breast_cancer.csv").display().to_string();
    let model = asset("breast_cancer_mlp.onnx").display().to_string();
    let run = |arguments: &[&str]| whybox(folder.path(), &[&["table"], arguments].concat());
    bad(&run(&[&table]), &["no network", "--model"]);
    bad(&run(&[&table, "--model", &model]), &["the network takes 30", "diagnosis (2)"]);
    bad(&run(&[&table, "--model", &model, "--target", "cancer"]), &["\"cancer\"", "diagnosis"]);
    bad(&run(&["--rows", "569"]), &["no row 569", "0 to 568"]);
    bad(&run(&["--class", "cat"]), &["\"cat\""]);
    bad(&run(&["--class", "2"]), &["no output 2"]);
    bad(&run(&["missing.csv", "--model", &model]), &["missing.csv", "cannot be read"]);
    bad(&run(&["--method", "lime", "--kernel-width", "0"]), &["kernel width"]);
    bad(&run(&["--drop", "mean radius"]), &["29 numbers", "takes 30"]);
}

#[test]
fn one_column_constant_columns_and_repeated_rows_are_explained() {
    let folder = folder();
    let path = folder.path().join("t.csv");
    // The built-in network reads 30 columns: 29 of them constant, rows repeated.
    let header: Vec<String> = (0..30).map(|i| format!("c{i}")).collect();
    let rows: String = (0..12).map(|row| format!("{},{}\n", row % 3, ["1"; 29].join(","))).collect();
    fs::write(&path, format!("{}\n{rows}", header.join(","))).unwrap();
    let model = asset("breast_cancer_mlp.onnx").display().to_string();
    for discretizer in ["quartile", "decile", "none"] {
        let arguments = [
            &["table", "t.csv", "--model", &model, "--method", "lime", "--samples", "200", "--json"],
            &["--discretizer", discretizer][..],
        ]
        .concat();
        let document: Value = serde_json::from_str(&good(&whybox(folder.path(), &arguments))).unwrap();
        assert!(document["warnings"][0].as_str().unwrap().contains("c1, c2"), "{discretizer}");
        let values = document["instances"][0]["outputs"][0]["values"].as_array().unwrap();
        assert!(values.iter().all(Value::is_number));
    }
    bad(
        &whybox(
            folder.path(),
            &["table", "t.csv", "--model", &model, "--method", "lime", "--discretizer", "entropy"],
        ),
        &["entropy", "--target"],
    );
}

#[test]
fn a_text_is_explained_through_its_vocabulary() {
    let folder = folder();
    let words: Vec<String> = (0..28).map(|i| format!("word{i}")).collect();
    fs::write(folder.path().join("v.txt"), format!("good\nbad\n{}\n", words.join("\n"))).unwrap();
    fs::write(folder.path().join("t.txt"), "A good film, not bad; good!").unwrap();
    let model = asset("breast_cancer_mlp.onnx").display().to_string();
    let run = |arguments: &[&str]| {
        let all =
            [&["text", "--model", &model, "--vocabulary", "v.txt", "--samples", "300"], arguments].concat();
        whybox(folder.path(), &all)
    };
    let document: Value =
        serde_json::from_str(&good(&run(&["--file", "t.txt", "--explain", "logits", "--json"]))).unwrap();
    assert_eq!(document["kind"], "text");
    let tokens: Vec<&str> =
        document["features"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(tokens, ["A", "good", "film", "not", "bad"]);
    let values = document["instances"][0]["outputs"][0]["values"].as_array().unwrap();
    let size = |at: usize| values[at].as_f64().unwrap().abs();
    // Words that the vocabulary has not say nothing.
    assert!(size(1) > 30.0 * size(0) && size(4) > 30.0 * size(2), "{values:?}");
    let text = good(&run(&["a good bad good film", "--positions", "--explain", "logits"]));
    assert!(text.contains("good") && text.contains("LIME"), "{text}");
    bad(&run(&["... !"]), &["no words"]);
    fs::write(folder.path().join("v.txt"), "good\nbad\n").unwrap();
    bad(&run(&["good"]), &["2 tokens", "takes 30"]);
    fs::write(folder.path().join("v.txt"), "good\ngood\n").unwrap();
    bad(&run(&["good"]), &["line 2", "line 1 already"]);
}
