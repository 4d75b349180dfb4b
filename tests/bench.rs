//! `whybox bench`: what is measured is what is said. Times are never judged.

use std::process::Command;

use whybox::Device;
use whybox::bench::Workload;
use whybox::device::RunOptions;

fn whybox(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_whybox"))
        .args(["bench", "--device", "cpu", "--seconds", "0.001", "--samples", "20"])
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn tables_are_measured() {
    let device = Device::cpu();
    let run = RunOptions::default;
    let shap = Workload::kernel_shap_table(64, 7, run()).expect("a workload");
    let measured = shap.measure(&device, 0.0).expect("it runs");
    assert_eq!((measured.evaluations, measured.runs), (64 * 7, 3));
    assert!(measured.seconds > 0.0 && measured.macs == 30 * 32 + 32 * 16 + 16 * 2);
    // Every coalition of 20 players, of one background row.
    let exact = Workload::exact_table(1, run()).expect("a workload");
    let measured = exact.measure(&device, 0.0).expect("it runs");
    assert_eq!(measured.evaluations, 1 << 20);
    assert!(measured.workload.contains("20 players"), "{}", measured.workload);
    let lime = Workload::lime_table(50, run()).expect("a workload");
    assert_eq!(lime.measure(&device, 0.0).expect("it runs").evaluations, 50);
}

#[test]
fn numbers_agree_with_each_other() {
    let (good, out, err) = whybox(&["--only", "lime, TABLE", "--json"]);
    assert!(good, "{err}");
    let document: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert!(document["peak_gflops"].as_f64().expect("a number") > 0.0);
    let [workload] = &document["workloads"].as_array().expect("a list")[..] else { panic!("{out}") };
    assert_eq!(workload["name"], "LIME, table, 5000 samples");
    assert_eq!(workload["evaluations"], 5000);
    let number = |key: &str| workload[key].as_f64().expect("a number");
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
    assert!(close(number("evaluations_per_second"), 5000.0 / number("seconds")));
    assert!(close(number("explanations_per_second"), 1.0 / number("seconds")));
    let gflops = 1e-3 * number("mflop_per_evaluation") * number("evaluations_per_second");
    assert!(close(number("gflops"), gflops));
}

#[test]
fn lines_align() {
    let (good, out, err) = whybox(&["--only", "LIME, table"]);
    assert!(good, "{err}");
    let lines: Vec<&str> = out.lines().skip_while(|line| !line.starts_with("workload")).collect();
    assert_eq!(lines.len(), 2, "{out}");
    let width = lines[0].chars().count();
    assert!(lines.iter().all(|line| line.chars().count() == width), "{out}");
}

#[test]
fn a_name_of_nothing_is_refused() {
    let (good, _, err) = whybox(&["--only", "resnet1000"]);
    assert!(!good && err.contains("resnet1000") && err.contains("resnet18"), "{err}");
    assert!(!err.contains("panicked"), "{err}");
}
