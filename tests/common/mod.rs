//! What several test files share.

pub mod plans;
pub mod reference;
