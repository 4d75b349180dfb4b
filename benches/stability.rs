//! LIME's instability: the scatter of its coefficients over seeds, as a ratio to that of independent draws without
//! control, which are `lime`'s.
//!
//!     cargo bench --bench stability -- MODEL.onnx PREPROCESS PHOTO... [seeds=50] [samples=1000] [designs=all|default]
//!
//! `designs=default` leaves out all but `lime`'s and the default. Writes a table as Markdown. Without arguments, the built-in network and photo serve. The ratio is of root mean square standard
//! deviations over the players; `z` is the difference of the mean from that of independent draws over its standard error:
//! its root mean square over the players should be about 1.

#[path = "common/games.rs"]
mod games;

use games::{PhotoGame, Remembered};
use whybox::explain::{Control, Game, Lime};
use whybox::model::Model;
use whybox::perturb::Sampling;
use whybox::perturb::picture::{Preprocess, open_photo};
use whybox::{Device, Result, builtin};

/// Mean, variance over seeds and mean stated variance of each player's coefficient.
struct Scatter {
    seeds: f64,
    mean: Vec<f64>,
    variance: Vec<f64>,
    stated: Vec<f64>,
}

impl Scatter {
    fn of(runs: &[(Vec<f64>, Vec<f64>)]) -> Self {
        let seeds = runs.len() as f64;
        let each = |f: &dyn Fn(usize) -> f64| (0..runs[0].0.len()).map(f).collect::<Vec<f64>>();
        let mean = each(&|p| runs.iter().map(|run| run.0[p]).sum::<f64>() / seeds);
        let variance =
            each(&|p| runs.iter().map(|run| (run.0[p] - mean[p]).powi(2)).sum::<f64>() / (seeds - 1.0));
        let stated = each(&|p| runs.iter().map(|run| run.1[p].powi(2)).sum::<f64>() / seeds);
        Scatter { seeds, mean, variance, stated }
    }

    fn total(&self) -> f64 {
        self.variance.iter().sum::<f64>().sqrt()
    }
}

type Variant = (&'static str, Sampling, Control);

/// The first is what all others are compared with.
const VARIANTS: [Variant; 7] = [
    ("independent (lime)", Sampling::Independent, Control::None),
    ("paired, process (default)", Sampling::Paired, Control::GaussianProcess),
    ("paired", Sampling::Paired, Control::None),
    ("independent, process", Sampling::Independent, Control::GaussianProcess),
    ("orthogonal", Sampling::Orthogonal, Control::None),
    ("orthogonal, logistic", Sampling::Orthogonal, Control::Logistic),
    ("orthogonal, process", Sampling::Orthogonal, Control::GaussianProcess),
];

fn subject(
    name: &str,
    game: &dyn Game,
    clear: &dyn Fn(),
    variants: &[Variant],
    samples: usize,
    seeds: u64,
) -> Result<()> {
    let mut runs = vec![Vec::new(); variants.len()];
    for seed in 0..seeds {
        for ((_, sampling, control), runs) in variants.iter().zip(&mut runs) {
            let lime = Lime { samples, sampling: *sampling, control: *control, seed, ..Lime::default() };
            let found = lime.explain(game, &mut |_| {})?.attributions.remove(0);
            runs.push((found.values, found.standard_errors.expect("more samples than players")));
        }
        clear();
    }
    let scatters: Vec<Scatter> = runs.iter().map(|runs| Scatter::of(runs)).collect();
    let (lime, players) = (&scatters[0], game.players());
    for ((variant, ..), scatter) in variants.iter().zip(&scatters) {
        let z: Vec<f64> = (0..players)
            .map(|p| {
                let error = ((scatter.variance[p] + lime.variance[p]) / scatter.seeds).sqrt();
                (scatter.mean[p] - lime.mean[p]) / error.max(f64::MIN_POSITIVE)
            })
            .collect();
        let square = (z.iter().map(|z| z * z).sum::<f64>() / players as f64).sqrt();
        let largest = z.iter().fold(0.0_f64, |max, z| max.max(z.abs()));
        let stated = scatter.stated.iter().sum::<f64>().sqrt() / scatter.total();
        println!(
            "| {name} | {variant} | {:.2} | {stated:.2} | {square:.2} | {largest:.1} |",
            scatter.total() / lime.total(),
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |name: &str| arguments.iter().find_map(|a| a.strip_prefix(name)?.parse().ok());
    let (seeds, samples) = (number("seeds=").unwrap_or(50), number("samples=").unwrap_or(1000) as usize);
    let variants =
        if arguments.iter().any(|a| a == "designs=default") { &VARIANTS[..2] } else { &VARIANTS[..] };
    let files: Vec<&String> = arguments.iter().filter(|a| !a.contains('=')).collect();
    println!("Standard deviations over {seeds} seeds of {samples} evaluations.\n");
    println!("| photo | design | ratio to lime | stated / seen | z, RMS | z, largest |");
    println!("|---|---|---|---|---|---|");
    let device = Device::cpu();
    let (model, preprocess, photos) = match files.split_first() {
        Some((model, rest)) if rest.len() > 1 => {
            (Model::from_onnx(model)?, rest[0].parse::<Preprocess>()?, &rest[1..])
        }
        _ => (builtin::network()?, builtin::preprocess(), &[][..]),
    };
    let model = model.probabilities()?;
    let mut photos: Vec<_> = photos
        .iter()
        .map(|path| {
            let path = std::path::Path::new(path);
            Ok((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), open_photo(path)?))
        })
        .collect::<Result<_>>()?;
    if photos.is_empty() {
        photos.push(("built-in cat".into(), builtin::photo()?));
    }
    for (name, photo) in photos {
        let game = PhotoGame::new(device.load(&model)?, photo, "slic:n=70".parse()?, &preprocess)?;
        let game = Remembered::new(game);
        subject(
            &format!("{name} ({} segments)", game.players()),
            &game,
            &|| game.clear(),
            variants,
            samples,
            seeds,
        )?;
    }
    Ok(())
}
