//! What the largest service costs in bytes, as an allocator counts them.
//!
//! A binary of its own, as all that it allocates is counted. It has one test, so that nothing else runs beside it.
//! Sizes are those of this machine, with pointers of 64 bits; in a module they have 32.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_policy::discovery::stage::Discovery;
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimQuestion, SimRequest, SimResponse, Worker};
use tidegate_tests::consul::entry;

/// Counts what is allocated.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as the caller has it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller has it.
        unsafe { System.dealloc(pointer, layout) }
    }

    /// As most allocators, it may have both for a moment.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller has it.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

const MIB: usize = 1 << 20;

/// What is there, and the most there was while `work` was done, in bytes beyond what was there before.
fn measured<T>(work: impl FnOnce() -> T) -> (isize, usize, T) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let done = work();
    let now = LIVE.load(Ordering::Relaxed);
    (now as isize - before as isize, PEAK.load(Ordering::Relaxed) - before, done)
}

const DOCUMENT: &str = r#"{
    "registries": {"main": {"consul": {"cluster": "consul"}, "cache": {"max_bytes": 16777216}}},
    "services": [{"name": "orders", "registry": "main", "match": {"path": {"prefix": "/"}}, "attempts": 3}],
    "allow": ["127.0.0.0/8:1-65535"]
}"#;

fn question(worker: &Worker<Discovery, SimHost>) -> SimQuestion {
    worker.host.take_questions().pop().expect("a question")
}

/// One held stream for each change of a large service filled a VM: each kept the table with which it began.
#[test]
fn a_service_of_5000_endpoints_and_32_tags_stays_within_its_bounds() {
    let worker: Worker<Discovery, SimHost> =
        Worker::new(DOCUMENT, SimHost::new(std::sync::Arc::default())).unwrap();
    let mut streams = Vec::new();
    let mut change = |generation: usize| {
        worker.host.set(Span::from_secs(2 * generation as u64));
        worker.tick();
        let body = entry::instances(5_000, 8_080, generation);
        let size = body.len();
        assert!((14 * MIB..16 * MIB).contains(&size), "{size} bytes");
        let index = (10 + generation).to_string();
        let answer = question(&worker).answer(200).header("x-consul-index", &index).body(&body);
        drop(body);
        let (kept, peak, ()) = measured(|| worker.answer(&answer));
        drop(answer);
        let (table, most, stream) = measured(|| worker.begin(&SimRequest::get("/")).1);
        streams.push(stream);
        println!(
            "{generation}: answer {size}, kept {kept}, peak {peak}; table {table}, peak {most}; live {}",
            LIVE.load(Ordering::Relaxed)
        );
        (peak.max(most), LIVE.load(Ordering::Relaxed))
    };
    let (first, _) = change(0);
    let (second, after_two) = change(1);
    let mut all = vec![first, second];
    let mut live = after_two;
    for generation in 2..8 {
        let (peak, now) = change(generation);
        all.push(peak);
        live = now;
    }
    let worst = all.iter().max().unwrap();
    assert!(*worst < 64 * MIB, "{worst} bytes for an answer");
    assert!(live < 56 * MIB, "{live} bytes");
    // Six changes, and six streams that last.
    assert!(live < after_two + MIB, "{after_two} bytes became {live}");
    assert_eq!(worker.memory().count(), streams.len());
    streams.into_iter().for_each(|stream| drop(worker.end(stream, &SimResponse::upstream(200))));
    assert_eq!(worker.memory().count(), 0);
}
