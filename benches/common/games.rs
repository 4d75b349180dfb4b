//! Games over photographs, and one that remembers its answers.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use image::RgbImage;
use ndarray::Array2;
use whybox::device::RunOptions;
use whybox::explain::Game;
use whybox::perturb::picture::{Baseline, Picture, PictureShape, Preprocess};
use whybox::perturb::segment::{SegmentMap, Segmentation};
use whybox::perturb::{Coalitions, Segments};
use whybox::{Network, Result};

/// A photograph whose segments are the players; an absent one has the picture's mean colour.
pub struct PhotoGame {
    network: Network,
    instance: Vec<f32>,
    baseline: Vec<f32>,
    map: SegmentMap,
    shape: PictureShape,
    output: usize,
}

impl PhotoGame {
    /// The game of the network's highest output.
    pub fn new(
        network: Network,
        photo: RgbImage,
        segmentation: Segmentation,
        preprocess: &Preprocess,
    ) -> Result<Self> {
        let shape = PictureShape::of(&network.input().shape)?;
        let picture = Picture::new(photo, &shape, preprocess)?;
        let map = segmentation.segment(&picture.pixels(), 0)?;
        let baseline = Baseline::Average.picture(picture.pixels(), &map)?;
        let instance = preprocess.apply(picture.pixels(), &shape);
        let baseline = preprocess.apply(baseline.view(), &shape);
        let mut game = PhotoGame { network, instance, baseline, map, shape, output: 0 };
        let mut all = Coalitions::new(game.players());
        all.push(|_| true);
        let answers = game.answers(&all)?;
        let highest =
            |best: usize, other: usize| if answers[[0, other]] > answers[[0, best]] { other } else { best };
        game.output = (0..answers.ncols()).fold(0, highest);
        Ok(game)
    }

    fn answers(&self, coalitions: &Coalitions) -> Result<Array2<f32>> {
        let (instance, baseline) = (self.instance.clone(), self.baseline.clone());
        let coalitions = Arc::new(coalitions.clone());
        let rows = Segments::new(instance, baseline, self.map.clone(), self.shape.order, coalitions)?;
        self.network.responses(&rows, &RunOptions::default())
    }
}

impl Game for PhotoGame {
    fn players(&self) -> usize {
        self.map.count()
    }

    fn outputs(&self) -> usize {
        1
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let answers = self.answers(coalitions)?;
        Ok(Array2::from_shape_fn((coalitions.rows(), 1), |(row, _)| f64::from(answers[[row, self.output]])))
    }
}

/// A game that evaluates each coalition once, for comparisons of methods on the same coalitions.
pub struct Remembered<G> {
    game: G,
    known: RefCell<HashMap<Vec<u32>, Vec<f64>>>,
}

impl<G: Game> Remembered<G> {
    pub fn new(game: G) -> Self {
        Remembered { game, known: RefCell::default() }
    }

    /// Forgets all answers.
    pub fn clear(&self) {
        self.known.borrow_mut().clear();
    }
}

impl<G: Game> Game for Remembered<G> {
    fn players(&self) -> usize {
        self.game.players()
    }

    fn outputs(&self) -> usize {
        self.game.outputs()
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let mut known = self.known.borrow_mut();
        let mut asked = Coalitions::new(coalitions.players());
        for row in 0..coalitions.rows() {
            if !known.contains_key(coalitions.row_words(row)) {
                asked.push(|player| coalitions.contains(row, player));
            }
        }
        if asked.rows() > 0 {
            for (row, answer) in self.game.values(&asked)?.outer_iter().enumerate() {
                known.insert(asked.row_words(row).to_vec(), answer.to_vec());
            }
        }
        let outputs = self.outputs();
        let mut values = Array2::zeros((coalitions.rows(), outputs));
        for (row, mut to) in values.outer_iter_mut().enumerate() {
            let from = &known[coalitions.row_words(row)];
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        Ok(values)
    }
}
