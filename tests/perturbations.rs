//! Perturbations against what they describe, written out by hand.

use std::sync::Arc;

use image::{Rgb, RgbImage};
use ndarray::Array3;
use whybox::device::RunOptions;
use whybox::model::{Activation, Model, Window};
use whybox::perturb::picture::{Baseline, Picture, PictureShape, PixelOrder, Preprocess};
use whybox::perturb::segment::SegmentMap;
use whybox::perturb::{
    Coalitions, Footprints, Perturbation, ResizedSegments, Sampling, Segments, lime_coalitions,
};
use whybox::plan::{FirstLayer, InputLayout};
use whybox::{Device, Error};

const HEIGHT: usize = 13;
const WIDTH: usize = 17;

/// A picture without symmetries.
fn sample(salt: usize) -> Vec<f32> {
    (0..3 * HEIGHT * WIDTH).map(|i| ((i * 37 + salt * 101) % 251) as f32 / 251.0 - 0.4).collect()
}

/// 40 segments in no order, so that masks need two words.
fn map() -> SegmentMap {
    let labels = (0..HEIGHT * WIDTH).map(|p| ((p * p + p / 5) % 40) as u32).collect();
    SegmentMap::new(HEIGHT, WIDTH, labels).expect("a map")
}

fn coalitions(players: usize, rows: usize) -> Arc<Coalitions> {
    Arc::new(lime_coalitions(players, rows, 11, Sampling::Independent).expect("coalitions"))
}

fn expand(perturbation: &dyn Perturbation, layout: &InputLayout, rows: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows * layout.len()];
    let bound = perturbation.bind(layout).expect("it fits");
    // In two pieces: rows do not depend on what they are written with.
    let (first, rest) = out.split_at_mut(2 * layout.len());
    bound.expand(0..2, first);
    bound.expand(2..rows, rest);
    out
}

#[test]
fn segments_show_the_instance_or_the_baseline_in_every_layout() {
    let (instance, baseline, map) = (sample(1), sample(2), map());
    let rows = 9;
    let coalitions = coalitions(map.count(), rows);
    for (shape, order, channels_last) in [
        (vec![3, HEIGHT, WIDTH], PixelOrder::ChannelsFirst, false),
        (vec![3, HEIGHT, WIDTH], PixelOrder::ChannelsFirst, true),
        (vec![HEIGHT, WIDTH, 3], PixelOrder::ChannelsLast, false),
    ] {
        let segments =
            Segments::new(instance.clone(), baseline.clone(), map.clone(), order, coalitions.clone())
                .expect("sizes agree");
        let layout = InputLayout { shape, channels_last, vocabulary: None };
        let found = expand(&segments, &layout, rows);
        for row in 0..rows {
            for pixel in 0..HEIGHT * WIDTH {
                let present = coalitions.contains(row, map.labels()[pixel] as usize);
                for channel in 0..3 {
                    let given = match order {
                        PixelOrder::ChannelsFirst => channel * HEIGHT * WIDTH + pixel,
                        PixelOrder::ChannelsLast => pixel * 3 + channel,
                    };
                    let stored = if channels_last { pixel * 3 + channel } else { given };
                    let expected = if present { instance[given] } else { baseline[given] };
                    assert_eq!(found[row * layout.len() + stored], expected);
                }
            }
        }
    }
}

#[test]
fn masks_at_the_photo_s_resolution_equal_masking_and_then_resizing() {
    // The photo is larger than the network's picture and of other proportions, so parts are cropped away.
    let photo = RgbImage::from_fn(61, 40, |x, y| Rgb([(x * 4) as u8, (y * 6) as u8, ((x * y) % 251) as u8]));
    let labels: Vec<u32> = (0..61 * 40).map(|p| (p % 61 / 8 + 8 * (p / 61 / 9)) as u32).collect();
    let whole = SegmentMap::new(40, 61, labels.clone()).expect("a map");
    let shape = PictureShape { height: 16, width: 16, channels: 3, order: PixelOrder::ChannelsFirst };
    let layout = InputLayout { shape: vec![3, 16, 16], channels_last: true, vocabulary: None };
    for text in ["imagenet", "caffe,fit=stretch", "unit,filter=bicubic", "raw,filter=nearest"] {
        let preprocess: Preprocess = text.parse().expect("a preprocess");
        let picture = Picture::new(photo.clone(), &shape, &preprocess).expect("a picture");
        let pixels = Array3::from_shape_fn((40, 61, 3), |(y, x, c)| {
            f32::from(photo.get_pixel(x as u32, y as u32).0[c]) / 255.0
        });
        let baseline = Baseline::Colour([51, 102, 204]).picture(pixels.view(), &whole).expect("a colour");
        let footprints = Arc::new(
            Footprints::new(&picture, baseline.view(), &whole, &shape, &preprocess).expect("sizes agree"),
        );
        let players = footprints.players();
        let cropped = footprints.labels().iter().filter(|&&label| label == u32::MAX).count();
        assert_eq!(
            text.contains("stretch"),
            cropped == 0,
            "{text}: segments that were cropped away are no players"
        );
        assert_eq!(text.contains("stretch"), players == whole.count(), "{text}");
        let rows = 5;
        let coalitions = coalitions(players, rows);
        let perturbation =
            ResizedSegments::new(footprints.clone(), shape, coalitions.clone()).expect("players agree");
        let found = expand(&perturbation, &layout, rows);
        for row in 0..rows {
            // By hand: the photo is masked at 8 bits (the colour is a whole number), then goes the usual way.
            let masked = RgbImage::from_fn(61, 40, |x, y| {
                let player = footprints.labels()[y as usize * 61 + x as usize];
                let hidden = player != u32::MAX && !coalitions.contains(row, player as usize);
                if hidden { Rgb([51, 102, 204]) } else { *photo.get_pixel(x, y) }
            });
            let picture = Picture::new(masked, &shape, &preprocess).expect("a picture");
            let expected = preprocess.apply(picture.pixels(), &shape);
            let mut stored = vec![0.0; layout.len()];
            layout.store(&expected, &mut stored);
            let found = &found[row * layout.len()..(row + 1) * layout.len()];
            let largest = stored.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let worst = found.iter().zip(&stored).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst <= 1e-5 * largest, "{text}, row {row}: {worst} of {largest}");
            // Another row's masks are not accepted.
            if row > 0 {
                let other = &expand(&perturbation, &layout, rows)[..layout.len()];
                let wrong = other.iter().zip(&stored).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(wrong > 1e-2 * largest);
            }
        }
    }
}

/// A network that begins with a convolution over the picture.
fn network(device: &Device) -> whybox::Network {
    let weight: Vec<f32> = (0..5 * 3 * 9).map(|i| ((i * 29) % 23) as f32 / 23.0 - 0.5).collect();
    let model = Model::builder("small", &[3, HEIGHT, WIDTH])
        .conv(&weight, Some(&[0.1, -0.2, 0.3, 0.0, 0.05]), 5, Window::square(3).stride(2).pad(1), 1)
        .and_then(|net| net.activation(Activation::Relu))
        .and_then(|net| net.global_average_pool())
        .and_then(|net| net.build())
        .expect("a network");
    device.load(&model).expect("it loads")
}

#[test]
fn the_masked_first_layer_runs_and_equals_the_expanded_one() {
    let map = map();
    let rows = 70;
    let coalitions = coalitions(map.count(), rows);
    let segments = Segments::new(sample(1), sample(2), map.clone(), PixelOrder::ChannelsFirst, coalitions)
        .expect("sizes agree");
    let network = network(&Device::cpu());
    assert!(network.plan().masked_first_layer().is_some());
    let run = |first_layer: Option<FirstLayer>| {
        let mut all = Vec::new();
        let options = RunOptions { first_layer, ..RunOptions::default() };
        let report = network.run(&segments, &options, &mut |_, values| {
            all.extend_from_slice(values);
            Ok(())
        });
        (report.expect("it runs").first_layer, all)
    };
    let (chosen, masked) = run(None);
    assert_eq!(chosen, FirstLayer::Masked, "the masked form is what runs by itself");
    let (forced, expanded) = run(Some(FirstLayer::Expanded));
    assert_eq!(forced, FirstLayer::Expanded);
    let worst = masked.iter().zip(&expanded).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    let largest = expanded.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(worst <= 1e-5 * largest, "{worst} of {largest}");
    assert!(expanded[..5] != expanded[5..10], "rows differ, so the comparison means something");
}

#[test]
fn wrong_sizes_are_refused() {
    let map = map();
    let wrong = |players: usize, len: usize| {
        let coalitions = Arc::new(lime_coalitions(players, 3, 0, Sampling::Independent).expect("coalitions"));
        Segments::new(sample(1), vec![0.0; len], map.clone(), PixelOrder::ChannelsFirst, coalitions)
    };
    assert!(matches!(wrong(39, 3 * HEIGHT * WIDTH), Err(Error::Parameter(_))));
    assert!(matches!(wrong(40, 7), Err(Error::Parameter(_))));
    let segments = wrong(40, 3 * HEIGHT * WIDTH).expect("sizes agree");
    let layout = InputLayout { shape: vec![3, 8, 8], channels_last: true, vocabulary: None };
    assert!(matches!(segments.bind(&layout).err(), Some(Error::Parameter(_))));
}
