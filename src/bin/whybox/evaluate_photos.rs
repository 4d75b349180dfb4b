//! `whybox evaluate` on photos.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::RgbImage;
use whybox::evaluate::{Case, Metric, Object, View, randomised};
use whybox::explain::{Game, ImageExplainer, ImageGame};
use whybox::model::Model;
use whybox::perturb::picture::open_photo;
use whybox::report::EvaluatedInput;
use whybox::{Error, Network, Result, builtin};

use crate::evaluate::{Counted, Found, Tally, Work};
use crate::image_subject;

/// Endings of the pictures in a folder.
const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "webp", "gif", "tif", "tiff"];

/// The network, the same of shuffled weights if it is asked for, and how pictures become games.
struct Networks {
    network: Network,
    randomised: Option<Network>,
    names: Vec<String>,
    explainer: ImageExplainer,
}

/// Judges the explanations of every photo.
pub fn judge(work: &mut Work<'_>) -> Result<()> {
    let args = work.args;
    let photos = photos(&args.inputs)?;
    let start = Instant::now();
    let model = match &args.model {
        Some(path) => Model::from_onnx(path)?,
        None => builtin::network()?,
    };
    let preprocess = image_subject::preprocess(
        args.preprocess,
        args.model.is_none(),
        &model,
        &mut work.evaluation.warnings,
    )?;
    let (model, explained) = args.outputs().apply(model, false)?;
    let device = args.run.device()?;
    let network = device.load(&model)?;
    let forgetful = work.wants(Metric::Randomised).then(|| randomised(&model, usize::MAX, args.seed));
    let known = args.model.is_none().then(builtin::classes);
    let mut run = args.run.options();
    run.cancel = work.interrupt.cancel.clone();
    let networks = Networks {
        names: args.outputs().names(network.outputs(), known)?,
        randomised: forgetful.transpose()?.map(|model| device.load(&model)).transpose()?,
        network,
        explainer: ImageExplainer {
            segmentation: args.segments.clone(),
            baseline: args.baseline.clone(),
            preprocess,
            seed: args.seed,
            run,
            ..ImageExplainer::default()
        },
    };
    let evaluation = &mut work.evaluation;
    evaluation.network = networks.network.name().to_owned();
    evaluation.device = device.name();
    evaluation.explained = explained;
    evaluation.settings.push(("preprocess".into(), preprocess.to_string()));
    evaluation.seconds.push(("load".into(), start.elapsed().as_secs_f64()));
    work.expect(photos.len(), 1);
    for (number, photo) in photos.iter().enumerate() {
        let shown = photo.as_ref().map_or("built-in photo".into(), |path| path.display().to_string());
        let found = match photo {
            Some(path) => open_photo(path),
            None => builtin::photo(),
        };
        let found =
            found.and_then(|picture| one(work, &networks, picture, photo.as_deref(), (number, &shown)));
        work.take(&shown, found)?;
    }
    Ok(())
}

/// The explanations of one photo.
fn one(
    work: &Work<'_>,
    networks: &Networks,
    photo: RgbImage,
    path: Option<&Path>,
    (number, shown): (usize, &str),
) -> Result<Vec<Found>> {
    let args = work.args;
    let Networks { network, randomised, names, explainer } = networks;
    let size = photo.dimensions();
    let prediction: Vec<f64> =
        explainer.predict(network, photo.clone())?.into_iter().map(f64::from).collect();
    let chosen = args.chosen(names, &prediction)?;
    let game = counted(explainer.game(network, photo)?, &work.tally);
    let players = game.players();
    let mut near = Vec::new();
    if work.wants(Metric::Sensitivity) {
        for noise in work.sensitivity.neighbours(&vec![0.0; network.input().len()])? {
            near.push(counted(game.game.noisy(&noise)?, &work.tally));
        }
    }
    let forgetful = randomised.as_ref().map(|network| game.game.on(network)).transpose()?;
    let forgetful = forgetful.map(|game| counted(game, &work.tally));
    let object = match &args.masks {
        Some(folder) => Some(object(folder, path, size, &game.game)?),
        None => None,
    };
    let hierarchy = || game.game.hierarchy();
    let mut found = Vec::new();
    for output in chosen.iter().copied() {
        let case = Case {
            instance: View::of(&game, output),
            near: near.iter().map(|game| View::of(game, output)).collect(),
            randomised: forgetful.as_ref().map(|game| View::of(game, output)),
            object: object.clone(),
        };
        let candidate = |method: &crate::evaluate_methods::Method| {
            method.candidate((players, number), (args.samples, args.seed), &hierarchy)
        };
        let mut candidates = args.methods.iter().map(candidate).collect::<Result<Vec<_>>>()?;
        let judgements = work.comparison.judge(&case, &mut candidates)?;
        let facts = EvaluatedInput {
            output,
            output_name: names[output].clone(),
            prediction: prediction[output],
            players,
        };
        found.push((shown.to_owned(), facts, judgements));
    }
    Ok(found)
}

/// A game of which each coalition is one evaluation.
fn counted<'a>(game: ImageGame<'a>, tally: &'a Tally) -> Counted<'a, ImageGame<'a>> {
    Counted { game, each: 1, tally }
}

/// The photos that are named, those of folders in the order of their names; `None` is the built-in one.
fn photos(inputs: &[PathBuf]) -> Result<Vec<Option<PathBuf>>> {
    if inputs.is_empty() {
        return Ok(vec![None]);
    }
    let mut photos = Vec::new();
    for input in inputs {
        if !input.is_dir() {
            photos.push(Some(input.clone()));
            continue;
        }
        let found = pictures(input)?;
        if found.is_empty() {
            return Err(Error::parameter(
                "there is no picture in this folder",
                input.display().to_string(),
                format!("pictures end in {}", ENDINGS.join(", ")),
            ));
        }
        photos.extend(found.into_iter().map(Some));
    }
    Ok(photos)
}

/// The pictures of a folder, by name.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let unread = |error: std::io::Error| {
        let at = folder.display().to_string();
        Error::io(format!("the folder cannot be read: {error}"), at, "check the path")
    };
    let entries = std::fs::read_dir(folder).map_err(unread)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let picture = |path: &PathBuf| {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
    };
    let mut pictures: Vec<PathBuf> = paths.map_err(unread)?.into_iter().filter(picture).collect();
    pictures.sort();
    Ok(pictures)
}

/// Where the object is, from the mask of the photo's name.
fn object(folder: &Path, photo: Option<&Path>, size: (u32, u32), game: &ImageGame<'_>) -> Result<Object> {
    // The built-in photo shows a cat.
    let stem: OsString = photo.map_or("cat".into(), |path| path.file_stem().unwrap_or_default().to_owned());
    let found = pictures(folder)?.into_iter().find(|path| path.file_stem() == Some(stem.as_os_str()));
    let path = found.ok_or_else(|| {
        let what = format!("there is no mask called {}", stem.display());
        Error::parameter(what, folder.display().to_string(), "name each mask as its photo")
    })?;
    let mask = open_photo(&path)?;
    if mask.dimensions() != size {
        return Err(Error::parameter(
            format!("the mask has {:?} pixels, its photo {size:?}", mask.dimensions()),
            path.display().to_string(),
            "give a mask of the photo's size",
        ));
    }
    let inside: Vec<bool> = mask.pixels().map(|pixel| pixel.0 != [0; 3]).collect();
    Object::of(game.labels(), game.players(), &inside)
}
