//! Texts as games, and LIME's defaults for them.

use ndarray::Array2;

use super::{Control, Game, Labels, Lime};
use crate::perturb::{Coalitions, Sampling};
use crate::text::{Hide, IndexedText};
use crate::{Error, Result};

/// A black box over texts: `[texts, outputs]`.
///
/// # Example
/// ```
/// use ndarray::Array2;
/// use whybox::explain::TextFunction;
///
/// let shouting = |texts: &[String]| {
///     Ok(Array2::from_shape_fn((texts.len(), 1), |(text, _)| texts[text].matches('!').count() as f64))
/// };
/// let black_box: &TextFunction<'_> = &shouting;
/// assert_eq!(black_box(&["so good!!".into(), "well".into()])?, ndarray::array![[2.0], [0.0]]);
/// # Ok::<(), whybox::Error>(())
/// ```
pub type TextFunction<'a> = dyn Fn(&[String]) -> Result<Array2<f64>> + 'a;

/// A text with a black box: the players are its tokens, and the absent ones are hidden.
///
/// # Example
/// ```
/// use ndarray::Array2;
/// use whybox::explain::{Lime, TextGame};
/// use whybox::text::{Hide, IndexedText, Occurrences, Tokenizer};
///
/// let count = |texts: &[String]| {
///     Ok(Array2::from_shape_fn((texts.len(), 1), |(at, _)| texts[at].matches("good").count() as f64))
/// };
/// let text = IndexedText::new("a good film", Tokenizer::Words, Occurrences::Together)?;
/// let game = TextGame::new(text, Hide::Remove, &count)?;
/// let explanation = Lime { samples: 300, alpha: 1e-9, ..Lime::text() }.explain(&game, &mut |_| {})?;
/// assert!((explanation.attributions[0].values[1] - 1.0).abs() < 1e-6);
/// # Ok::<(), whybox::Error>(())
/// ```
pub struct TextGame<'a> {
    text: IndexedText,
    hide: Hide,
    function: &'a TextFunction<'a>,
    outputs: usize,
}

impl<'a> TextGame<'a> {
    /// The game of a text; asks the black box once, for the number of its outputs.
    ///
    /// # Errors
    /// Whatever the black box reports.
    pub fn new(text: IndexedText, hide: Hide, function: &'a TextFunction<'a>) -> Result<Self> {
        let outputs = function(&[text.hide(&hide, |_| true)])?.ncols();
        Ok(TextGame { text, hide, function, outputs })
    }

    /// The text.
    pub fn text(&self) -> &IndexedText {
        &self.text
    }
}

impl Game for TextGame<'_> {
    fn players(&self) -> usize {
        self.text.tokens().len()
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn values(&self, coalitions: &Coalitions) -> Result<Array2<f64>> {
        let texts: Vec<String> = (0..coalitions.rows())
            .map(|row| self.text.hide(&self.hide, |token| coalitions.contains(row, token)))
            .collect();
        let values = (self.function)(&texts)?;
        match values.indexed_iter().find(|(_, value)| !value.is_finite()) {
            Some(((row, output), value)) => Err(Error::numeric(
                format!("the black box answered {value}"),
                format!("{:?}, output {output}", texts[row]),
                "return finite numbers for every text, the empty one included",
            )),
            None => Ok(values),
        }
    }
}

impl Lime {
    /// The defaults of `lime_text` 0.2.0.1, but for the labels (the top one instead of output 1): 5,000 texts, as many tokens
    /// hidden as a die says, cosine distance, 10 features. Its kernel width of 25 for 100 times the distance is 0.25 here.
    pub fn text() -> Self {
        Lime {
            samples: 5000,
            kernel_width: 0.25,
            num_features: 10,
            sampling: Sampling::Removal,
            control: Control::None,
            labels: Labels::Top(1),
            ..Lime::default()
        }
    }
}
