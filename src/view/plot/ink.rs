//! Ink: the colours of figures, each for paper and for a dark page.
//!
//! Elements name the colours for paper. A style sheet that selects elements by these puts the page's in their place: a
//! figure follows its page without a script, and keeps the light colours where no style sheet is read.

/// A colour by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ink {
    /// In a style sheet.
    name: &'static str,
    paper: u32,
    dark: u32,
}

impl Ink {
    pub const TEXT: Self = Self { name: "text", paper: 0x1B_1F24, dark: 0xE8_EAED };
    /// Words and numbers along the axes.
    pub const MUTED: Self = Self { name: "muted", paper: 0x59_6170, dark: 0x9D_A7B5 };
    pub const GRID: Self = Self { name: "grid", paper: 0xE4_E7EB, dark: 0x2C_323B };
    pub const MANY: Self = Self { name: "many", paper: 0x8B_95A5, dark: 0x7B_8697 };
    pub const BEST: Self = Self { name: "best", paper: 0x0B_5FC4, dark: 0x79_B4FF };
    /// The first of several equals, and so on; a name or a shape tells them apart as well.
    pub const FIRST: Self = Self { name: "first", paper: 0x0A_66A8, dark: 0x6C_B8F0 };
    pub const SECOND: Self = Self { name: "second", paper: 0xB0_4E0F, dark: 0xF2_A661 };
    pub const THIRD: Self = Self { name: "third", paper: 0x1C_7549, dark: 0x6F_D1A0 };

    pub(super) const ALL: [Self; 8] =
        [Self::TEXT, Self::MUTED, Self::GRID, Self::MANY, Self::BEST, Self::FIRST, Self::SECOND, Self::THIRD];
    /// The page behind a figure.
    const PAGE: Self = Self { name: "page", paper: 0xFF_FFFF, dark: 0x14_171C };

    /// Its colour on paper, as elements name it.
    pub(super) fn colour(self) -> String {
        format!("#{:06x}", self.paper)
    }
}

/// What the style sheet of a page with figures must hold: the colours as variables (`--text`, `--page` ...), and the
/// figures in them.
pub fn style() -> String {
    let variables = |colour: fn(Ink) -> u32| {
        let inks = Ink::ALL.into_iter().chain([Ink::PAGE]);
        inks.map(|ink| format!("--{}:#{:06x};", ink.name, colour(ink))).collect::<String>()
    };
    let element = |ink: Ink| {
        let (name, colour) = (ink.name, ink.colour());
        let rule = |attribute| format!(".plot [{attribute}=\"{colour}\"]{{{attribute}:var(--{name})}}\n");
        ["fill", "stroke"].map(rule).concat()
    };
    let (light, dark) = (variables(|ink| ink.paper), variables(|ink| ink.dark));
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
        for ink in Ink::ALL.into_iter().filter(|ink| *ink != Ink::GRID) {
            let Ink { name, paper, dark } = ink;
            let least = if ink == Ink::MANY { 3.0 } else { 4.5 };
            for (colour, page) in [(paper, Ink::PAGE.paper), (dark, Ink::PAGE.dark)] {
                assert!(contrast(colour, page) >= least, "{name}: {:.2}", contrast(colour, page));
            }
        }
    }

    #[test]
    fn no_two_inks_share_a_colour() {
        for (place, ink) in Ink::ALL.into_iter().enumerate() {
            assert!(Ink::ALL[..place].iter().all(|other| other.paper != ink.paper), "{ink:?}");
        }
    }
}
