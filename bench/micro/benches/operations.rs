//! `cargo bench -p micro`: how long the operations of a request take without I/O.
//!
//! Leaves the operations to the library, and the numbers of their instructions to `cargo counts`.

use criterion::Criterion;
use micro::operations;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    for mut operation in operations()? {
        operation.run()?;
        criterion.bench_function(operation.name(), |bencher| bencher.iter(|| operation.run()));
    }
    criterion.final_summary();
    Ok(())
}
