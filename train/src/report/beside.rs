//! Translations of several runs beside each other, as in the paper's Table 4.

use super::page::section;
use super::translations::pair;
use crate::metrics::beside::Translated;
use maud::{Markup, html};

/// Nothing where no other run was given.
pub(super) fn show(clips: &[Translated]) -> Markup {
    if clips.is_empty() {
        return html! {};
    }
    let body = html! {
        p { "The same clips by several runs; words are marked as among the translations below." }
        @for clip in clips {
            article {
                h3 { (clip.id) }
                @for (name, hypothesis) in &clip.hypotheses {
                    h4 { (name) }
                    (pair(&clip.reference, hypothesis, clip.units))
                }
            }
        }
    };
    section("beside", "Runs beside each other", body)
}
