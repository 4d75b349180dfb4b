//! Numbers as a reader wants them: rounded once, with a true minus sign and thousands separated.

use super::image_report::Scale;

/// How many decimals a family of numbers shows, so that a column of them lines up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    Decimals(usize),
    /// Two decimals and a power of ten, for families that are very small or very large.
    Scientific,
}

impl Rounding {
    /// Three significant digits for the `largest` of the family.
    pub(super) fn for_largest(largest: f64) -> Self {
        if largest == 0.0 || !largest.is_finite() {
            return Rounding::Decimals(3);
        }
        // The same after rounding: 0.99996 counts as 1.00, not 1.000.
        let exponent = format!("{largest:.2e}").split('e').nth(1).and_then(|e| e.parse::<i32>().ok());
        match exponent.unwrap_or(0) {
            e @ -4..=5 => Rounding::Decimals((2 - e).max(0) as usize),
            _ => Rounding::Scientific,
        }
    }

    /// `0.213`, `−0.050`, `1.20e−7`; never `−0.000`.
    pub(super) fn plain(self, x: f64) -> String {
        let text = match self {
            Rounding::Decimals(d) => format!("{x:.d$}"),
            Rounding::Scientific if x == 0.0 => "0".into(),
            Rounding::Scientific => format!("{x:.2e}"),
        };
        let zero = !text.bytes().any(|b| (b'1'..=b'9').contains(&b));
        let text = if zero { text.trim_start_matches('-') } else { &text };
        text.replace('-', "−")
    }

    /// As [`Rounding::plain`], with a plus sign before positive numbers.
    pub(super) fn signed(self, x: f64) -> String {
        let text = self.plain(x);
        let zero = !text.bytes().any(|b| (b'1'..=b'9').contains(&b));
        if x > 0.0 && !zero { format!("+{text}") } else { text }
    }
}

/// `62.3 %`; the last tenths towards 0 and 1 are told as `< 0.1 %` and `> 99.9 %`.
pub(super) fn percent(p: f64) -> String {
    match p * 100.0 {
        x if x > 0.0 && x < 0.05 => "< 0.1 %".into(),
        x if (99.95..100.0).contains(&x) => "> 99.9 %".into(),
        x => format!("{} %", Rounding::Decimals(1).plain(x)),
    }
}

/// An output of the network: a percentage if it is a probability, else three significant digits.
pub(super) fn output(scale: Scale, value: f64) -> String {
    match scale {
        Scale::Probability => percent(value),
        Scale::Logit | Scale::Score => Rounding::for_largest(value.abs()).plain(value),
    }
}

/// `1,234,567`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 segment`, `70 segments`.
pub(super) fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `0.41 ms`, `12.3 ms`, `1.25 s`, `3 min 05 s`.
pub(super) fn seconds(s: f64) -> String {
    if !s.is_finite() || s < 0.0 {
        return "unknown".into();
    }
    let ms = s * 1e3;
    if ms < 10.0 {
        format!("{ms:.2} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if s < 9.995 {
        format!("{s:.2} s")
    } else if s < 119.5 {
        format!("{s:.1} s")
    } else {
        let whole = s.round() as u64;
        format!("{} min {:02} s", count(whole / 60), whole % 60)
    }
}

/// `12,345 per second`, `0.52 per second`.
pub(super) fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second < 0.0 {
        "unknown".into()
    } else if per_second >= 100.0 {
        format!("{} per second", count(per_second.round() as u64))
    } else {
        format!("{} per second", Rounding::for_largest(per_second).plain(per_second))
    }
}

/// A weighted R² with three decimals, or `undefined`.
pub(super) fn r_squared(r: Option<f64>) -> String {
    match r.filter(|r| r.is_finite()) {
        Some(r) => Rounding::Decimals(3).plain(r),
        None => "undefined".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_share_their_decimals() {
        let cases = [
            (0.2134, 0.2134, "+0.213"),
            (0.2134, -0.05, "−0.050"),
            (0.2134, -0.0001, "0.000"),
            (0.2134, 0.0, "0.000"),
            (0.99996, 0.99996, "+1.00"),
            (12.34, 1.0, "+1.0"),
            (4321.0, -17.4, "−17"),
            (3.2e-7, -3.2e-7, "−3.20e−7"),
            (3.2e-7, 0.0, "0"),
            (0.0, 0.0, "0.000"),
        ];
        for (largest, x, text) in cases {
            assert_eq!(Rounding::for_largest(largest).signed(x), text, "{x} beside {largest}");
        }
    }

    #[test]
    fn percentages_never_claim_certainty() {
        assert_eq!(percent(0.6234), "62.3 %");
        assert_eq!(percent(0.0), "0.0 %");
        assert_eq!(percent(1e-5), "< 0.1 %");
        assert_eq!(percent(0.99997), "> 99.9 %");
        assert_eq!(percent(1.0), "100.0 %");
    }

    #[test]
    fn counts_and_times() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(counted(1, "segment"), "1 segment");
        assert_eq!(seconds(0.000_41), "0.41 ms");
        assert_eq!(seconds(0.0123), "12 ms");
        assert_eq!(seconds(1.254), "1.25 s");
        assert_eq!(seconds(185.2), "3 min 05 s");
        assert_eq!(seconds(f64::NAN), "unknown");
        assert_eq!(rate(12_345.4), "12,345 per second");
        assert_eq!(rate(0.52), "0.520 per second");
    }
}
