//! Chromium, controlled through chromedriver.

pub(crate) use testbed::browser::{cookie_names, start_browser};
