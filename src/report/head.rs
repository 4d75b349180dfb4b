//! The head of every page.

use maud::{Markup, html};

/// What a page with a script of its own may load: nothing but what it holds.
pub(super) const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The `head` element of a page that takes nothing from anywhere but what its content security policy allows, in light and dark.
pub(super) fn head(policy: &str, title: Markup, style: Markup) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta http-equiv="Content-Security-Policy" content=(policy);
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (style) }
        }
    }
}
