//! Instruction counts: the file that stores them, and the comparison of two counts.
//!
//! A count is nearly the same in each run and on each machine of one architecture, so that CI can compare it with a
//! stored one. A time is not. Leaves valgrind and the command line to `bin/counts.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// A difference of more than this many percent is reported.
pub const TOLERANCE_PERCENT: u64 = 5;

/// The command that stores new counts.
pub const STORE: &str = "cargo counts --store";

/// The instructions of one run of each operation, and what they were counted with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The architecture of the processor, such as `x86_64`.
    pub architecture: String,
    /// The version of Rust.
    pub rust: String,
    /// The version of valgrind.
    pub valgrind: String,
    /// The instructions by operation.
    pub operations: BTreeMap<String, u64>,
}

impl Counts {
    /// Reads stored counts.
    ///
    /// # Errors
    /// If the file is missing or has another form.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("{} cannot be read: {STORE}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} has another form: {STORE}", file.display()))
    }

    /// Stores the counts.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
    }

    /// Accepts these stored counts for a comparison with counts of this architecture and this version of Rust.
    ///
    /// # Errors
    /// If the stored counts are of another architecture or version. Such counts differ for reasons that are not in our
    /// code.
    pub fn check_comparable(&self, architecture: &str, rust: &str) -> Result<()> {
        ensure!(
            self.architecture == architecture,
            "the stored counts are of {}, and this machine is {architecture}. Compare two commits instead: \
             cargo counts --against COMMIT",
            self.architecture
        );
        ensure!(
            self.rust == rust,
            "the stored counts are of Rust {}, and this is Rust {rust}. Use the toolchain of rust-toolchain.toml. \
             After a change of that file, store new counts: {STORE}",
            self.rust
        );
        Ok(())
    }
}

/// The counts of one operation on two sides. A side without the operation has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name of the operation.
    pub operation: String,
    /// The stored count, or that of the other commit.
    pub before: Option<u64>,
    /// The count of this tree.
    pub after: Option<u64>,
}

impl Row {
    /// Returns the new count divided by the old one, or `None` if a side has no count.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn ratio(&self) -> Option<f64> {
        Some(self.after? as f64 / self.before? as f64)
    }

    /// Returns `true` if the new count is more than the tolerance above the old one.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.before.zip(self.after).is_some_and(|(before, after)| exceeds(after, before))
    }

    /// Returns `true` if the old count is more than the tolerance above the new one.
    #[must_use]
    pub fn is_better(&self) -> bool {
        self.before.zip(self.after).is_some_and(|(before, after)| exceeds(before, after))
    }
}

/// Returns `true` if `count` is more than [`TOLERANCE_PERCENT`] above `base`.
fn exceeds(count: u64, base: u64) -> bool {
    count.saturating_mul(100) > base.saturating_mul(100 + TOLERANCE_PERCENT)
}

/// Returns a row for each operation of either side.
#[must_use]
pub fn rows(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<Row> {
    let mut rows: Vec<_> = before.keys().chain(after.keys()).collect();
    rows.sort();
    rows.dedup();
    let row = |operation: &String| Row {
        operation: operation.clone(),
        before: before.get(operation).copied(),
        after: after.get(operation).copied(),
    };
    rows.into_iter().map(row).collect()
}

/// Judges new counts against the stored ones. Returns advice if some operations have become better.
///
/// # Errors
/// If an operation has become worse, or if the two sides have different operations.
pub fn judge(rows: &[Row]) -> Result<Option<String>> {
    let names = |is_named: fn(&Row) -> bool| {
        rows.iter().filter(|row| is_named(row)).map(|row| row.operation.as_str()).collect::<Vec<_>>().join(", ")
    };
    let different = names(|row| row.ratio().is_none());
    if !different.is_empty() {
        bail!("only one side has a count of {different}. Store the new counts: {STORE}");
    }
    let worse = names(Row::is_worse);
    if !worse.is_empty() {
        bail!(
            "more than {TOLERANCE_PERCENT} % more instructions than stored: {worse}. Make the code faster. If the \
             change is worth its cost, say so in the commit, and store the new counts: {STORE}"
        );
    }
    let better = names(Row::is_better);
    Ok((!better.is_empty()).then(|| {
        format!(
            "More than {TOLERANCE_PERCENT} % fewer instructions than stored: {better}. Store the new counts: {STORE}"
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(operations: &[(&str, u64)]) -> BTreeMap<String, u64> {
        operations.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_count_of_more_than_five_percent_above_the_stored_one_fails() {
        let stored = counts(&[("sign", 1000), ("verify", 1000)]);
        for (count, is_accepted, has_advice) in [
            (1000, true, false),
            (1050, true, false),
            (1051, false, false),
            (2000, false, false),
            (953, true, false),
            (952, true, true),
        ] {
            let verdict = judge(&rows(&stored, &counts(&[("sign", 1000), ("verify", count)])));
            assert_eq!(verdict.is_ok(), is_accepted, "{count}: {verdict:?}");
            let text = verdict.map_or_else(|error| error.to_string(), Option::unwrap_or_default);
            assert_eq!(text.contains("fewer instructions"), has_advice, "{count}: {text}");
            let is_reported = !is_accepted || has_advice;
            assert_eq!((text.contains("verify"), text.contains(STORE)), (is_reported, is_reported), "{count}: {text}");
            assert!(!text.contains("sign"), "{count}: {text}");
        }
    }

    #[test]
    fn an_operation_that_only_one_side_has_fails() {
        let (both, one) = (counts(&[("sign", 1000), ("verify", 1000)]), counts(&[("sign", 1000)]));
        for (before, after) in [(&both, &one), (&one, &both)] {
            let error = judge(&rows(before, after)).unwrap_err().to_string();
            assert!(error.contains("a count of verify.") && error.contains(STORE), "{error}");
        }
    }

    #[test]
    fn counts_of_another_architecture_or_toolchain_are_not_compared() {
        let stored = Counts {
            architecture: "x86_64".to_owned(),
            rust: "1.95.0".to_owned(),
            valgrind: "3.19.0".to_owned(),
            operations: BTreeMap::new(),
        };
        stored.check_comparable("x86_64", "1.95.0").unwrap();
        for (architecture, rust, advice) in [("aarch64", "1.95.0", "--against"), ("x86_64", "1.96.0", STORE)] {
            let error = stored.check_comparable(architecture, rust).unwrap_err().to_string();
            assert!(error.contains(advice), "{error}");
        }
    }

    #[test]
    fn stored_counts_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("instructions.json");
        let error = Counts::read(&file).unwrap_err().to_string();
        assert!(error.contains(STORE), "{error}");
        let written = Counts {
            architecture: "x86_64".to_owned(),
            rust: "1.95.0".to_owned(),
            valgrind: "3.19.0".to_owned(),
            operations: counts(&[("sign", 1000)]),
        };
        written.write(&file).unwrap();
        assert_eq!(Counts::read(&file).unwrap(), written);
    }
}
