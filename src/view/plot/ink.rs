//! Ink: the colours of figures, each for paper and for a dark page.
//!
//! Elements name the colours for paper. A style sheet that selects elements by these puts the page's in their place: a
//! figure follows its page without a script, and keeps the light colours where no style sheet is read.

/// A colour by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Text,
    /// Words and numbers along the axes.
    Muted,
    Grid,
    Many,
    Best,
    /// The first of several equals, and so on; a name or a shape tells them apart as well.
    First,
    Second,
    Third,
}

impl Ink {
    pub const ALL: [Self; 8] =
        [Self::Text, Self::Muted, Self::Grid, Self::Many, Self::Best, Self::First, Self::Second, Self::Third];

    /// Its name in a style sheet, and its colours on paper and on a dark page.
    fn colours(self) -> (&'static str, u32, u32) {
        match self {
            Self::Text => ("text", 0x1B_1F24, 0xE8_EAED),
            Self::Muted => ("muted", 0x59_6170, 0x9D_A7B5),
            Self::Grid => ("grid", 0xE4_E7EB, 0x2C_323B),
            Self::Many => ("many", 0x8B_95A5, 0x7B_8697),
            Self::Best => ("best", 0x0B_5FC4, 0x79_B4FF),
            Self::First => ("first", 0x0A_66A8, 0x6C_B8F0),
            Self::Second => ("second", 0xB0_4E0F, 0xF2_A661),
            Self::Third => ("third", 0x1C_7549, 0x6F_D1A0),
        }
    }

    /// Its colour on paper, as elements name it.
    pub(super) fn colour(self) -> String {
        format!("#{:06x}", self.colours().1)
    }
}

/// The page behind a figure: on paper and dark.
const PAGE: (u32, u32) = (0xFF_FFFF, 0x14_171C);

/// What the style sheet of a page with figures must hold: the colours as variables (`--text`, `--page` ...), and the
/// figures in them.
pub fn style() -> String {
    let variables = |colour: fn((u32, u32)) -> u32| {
        let inks = Ink::ALL.map(|ink| ink.colours()).map(|(name, light, dark)| (name, (light, dark)));
        let all = inks.into_iter().chain([("page", PAGE)]);
        all.map(|(name, both)| format!("--{name}:#{:06x};", colour(both))).collect::<String>()
    };
    let element = |ink: Ink| {
        let (name, colour) = (ink.colours().0, ink.colour());
        let rule = |attribute| format!(".plot [{attribute}=\"{colour}\"]{{{attribute}:var(--{name})}}\n");
        ["fill", "stroke"].map(rule).concat()
    };
    let (light, dark) = (variables(|both| both.0), variables(|both| both.1));
    let elements: String = Ink::ALL.map(element).concat();
    format!(
        ":root{{color-scheme:light dark;{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n\
         .plot text{{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,Cantarell,\"DejaVu Sans\",sans-serif;\
         paint-order:stroke;stroke:var(--page);stroke-width:3px;stroke-linejoin:round}}\n\
         .plot polyline{{stroke-linejoin:round;stroke-linecap:round}}\n{elements}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, of WCAG 2.
    fn luminance(colour: u32) -> f64 {
        let linear = |byte: u8| {
            let share = f64::from(byte) / 255.0;
            if share <= 0.03928 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        let [_, red, green, blue] = colour.to_be_bytes();
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    fn contrast(one: u32, other: u32) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn words_and_lines_stand_out_from_both_pages() {
        for ink in Ink::ALL.into_iter().filter(|ink| *ink != Ink::Grid) {
            let (name, light, dark) = ink.colours();
            let least = if ink == Ink::Many { 3.0 } else { 4.5 };
            for (colour, page) in [(light, PAGE.0), (dark, PAGE.1)] {
                assert!(contrast(colour, page) >= least, "{name}: {:.2}", contrast(colour, page));
            }
        }
    }

    #[test]
    fn no_two_inks_share_a_colour() {
        for (place, ink) in Ink::ALL.into_iter().enumerate() {
            assert!(Ink::ALL[..place].iter().all(|other| other.colours().1 != ink.colours().1), "{ink:?}");
        }
    }
}
