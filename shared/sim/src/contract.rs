//! What any store must do.
//!
//! Run against the simulator by a test and inside Envoy by a probe module, so that what is
//! proven on the one holds on the other.

use tidegate_driver::Cells;
use tidegate_policy::host::StoreError;

/// Checks a store. `name` makes the cells of this run its own.
///
/// # Errors
/// The first promise that was not kept.
pub fn check(store: &impl Cells, name: &str) -> Result<(), String> {
    let cell = format!("tidegate/contract/{name}");
    let load = || store.load(&cell).map_err(|error| format!("load: {error}"));

    expect("a cell that nobody created is absent", load()?.is_none())?;
    expect("creating a missing cell does it", store.create(&cell, b"one") == Ok(true))?;
    expect("creating it again does not", store.create(&cell, b"two") == Ok(false))?;

    let (bytes, first) = load()?.ok_or("the created cell is absent")?;
    expect("what was created is read back", bytes == b"one")?;
    expect("reading changes no version", load()?.map(|(_, version)| version) == Some(first))?;

    expect("a current version replaces", store.replace(&cell, b"three", first) == Ok(()))?;
    expect("a used version is stale", store.replace(&cell, b"four", first) == Err(StoreError::Stale))?;
    let (bytes, second) = load()?.ok_or("the replaced cell is absent")?;
    expect("what was replaced is read back", bytes == b"three")?;
    expect("each write has its own version", first != second)?;

    expect("replacing by the same bytes is a write", store.replace(&cell, b"three", second) == Ok(()))?;
    let stale = store.replace(&cell, b"three", second);
    expect("so the version before it is stale", stale == Err(StoreError::Stale))?;

    let (_, third) = load()?.ok_or("the cell is absent after three writes")?;
    let all: Vec<u8> = (0..=u8::MAX).cycle().take(70_000).collect();
    expect("a cell takes any bytes, also many", store.replace(&cell, &all, third) == Ok(()))?;
    expect("and gives them back", load()?.map(|(bytes, _)| bytes) == Some(all))?;

    let (_, fourth) = load()?.ok_or("the cell is absent after four writes")?;
    expect("a cell can be empty", store.replace(&cell, b"", fourth) == Ok(()))?;
    expect("and is still there", load()?.map(|(bytes, _)| bytes) == Some(Vec::new()))?;
    expect("so it cannot be created", store.create(&cell, b"five") == Ok(false))?;

    let other = format!("{cell}/other");
    expect("cells are apart", store.create(&other, b"x") == Ok(true))
}

fn expect(promise: &str, kept: bool) -> Result<(), String> {
    if kept {
        Ok(())
    } else {
        Err(format!("not kept: {promise}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SimStore;

    #[test]
    fn the_simulator_keeps_it() {
        assert_eq!(check(&SimStore::default(), "sim"), Ok(()));
    }
}
