//! Threads that divide the work of one call after the other.
//!
//! Work is handed out in chunks, the caller takes chunks too, and a call is done when its chunks
//! are done, not when every thread has looked in. So a thread that the system does not schedule
//! costs the others at most the chunk that it holds, and nothing if it holds none. Threads without
//! work spin for some microseconds, as long as it takes to wake a thread, and then sleep.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;

#[cfg(loom)]
use loom::{
    hint::spin_loop,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{Builder, JoinHandle},
};
#[cfg(not(loom))]
use std::{
    hint::spin_loop,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{Builder, JoinHandle},
};

/// How often a thread looks for work before it sleeps, with a pause in between that takes between 3
/// and 50 ns.
const SPINS: usize = if cfg!(loom) { 0 } else { 1000 };

/// What a call gives its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// `0..n`, whose parts take as long as they are large and begin at multiples of `unit`.
    Even {
        /// How much there is.
        n: usize,
        /// How much a thread takes at least.
        unit: usize,
    },
    /// Tasks `0..n`, handed out in this order: those that take longest should come first.
    Tasks(usize),
}

impl Work {
    fn is_one_chunk(self) -> bool {
        match self {
            Work::Even { n, unit } => n <= unit,
            Work::Tasks(n) => n <= 1,
        }
    }

    /// Everything at once.
    pub fn all(self) -> Range<usize> {
        let (Work::Even { n, .. } | Work::Tasks(n)) = self;
        0..n
    }

    /// The next chunk for one of `n_threads`.
    ///
    /// Even work is handed out in halves of a fair share of what is left: in few chunks, and yet
    /// threads finish together where another program slows one of them down.
    fn take(self, next: &AtomicUsize, n_threads: usize) -> Option<Range<usize>> {
        let end = |start: usize| match self {
            Work::Even { n, unit } => {
                let len = ((n - start) / (2 * n_threads)).next_multiple_of(unit).max(unit);
                (start + len).min(n)
            }
            Work::Tasks(_) => start + 1,
        };
        let n = self.all().end;
        // Only the counter itself is shared: what a chunk stands for was written before the call.
        let after = |start| (start < n).then(|| end(start));
        let start = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).ok()?;
        Some(start..end(start))
    }
}

/// Threads that live as long as this and divide the work of one call after the other.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use cutq_kernels::{Pool, Work};
///
/// let mut pool = Pool::new(2)?;
/// let sum = AtomicUsize::new(0);
/// pool.divide(Work::Even { n: 100, unit: 8 }, |part| {
///     sum.fetch_add(part.sum(), Ordering::Relaxed);
/// });
/// assert_eq!(sum.into_inner(), 4950);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Pool {
    shared: Arc<Shared>,
    /// All threads but the caller's.
    others: Vec<JoinHandle<()>>,
}

/// A call's work, until there is none left. It lives at least until [`Shared::close`] returns.
#[derive(Clone, Copy)]
struct Job(&'static (dyn Fn() + Sync));

struct Shared {
    state: Mutex<State>,
    /// Calls so far. Like the next, changed and judged with the state locked, which orders all
    /// else; threads that spin only look at it.
    calls: AtomicUsize,
    /// Threads that are at the job.
    running: AtomicUsize,
    /// Where threads wait for a call.
    called: Condvar,
    /// Where the caller waits for them.
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// The job of the call in progress, while there may be chunks left.
    job: Option<Job>,
    /// Threads that sleep until a call.
    sleeping: usize,
    /// What another thread panicked with.
    panic: Option<Box<dyn Any + Send>>,
    /// Whether the pool is dropped.
    over: bool,
}

impl Pool {
    /// `n_threads` threads, at least one: the caller's and others, which are started.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn new(n_threads: usize) -> std::io::Result<Pool> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            calls: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            called: Condvar::new(),
            done: Condvar::new(),
        });
        let mut pool = Pool { shared, others: Vec::new() };
        for i in 1..n_threads {
            let shared = Arc::clone(&pool.shared);
            let thread = Builder::new().name(format!("cutq-{i}"));
            pool.others.push(thread.spawn(move || shared.serve())?);
        }
        Ok(pool)
    }

    /// The caller's thread and the others.
    pub fn n_threads(&self) -> usize {
        self.others.len() + 1
    }

    /// Calls `each` for parts that together are all of `work`, on all threads, this one included.
    ///
    /// # Panics
    /// If `each` panics on any thread; all others have finished then.
    pub fn divide(&mut self, work: Work, each: impl Fn(Range<usize>) + Sync) {
        let n_threads = self.n_threads();
        if n_threads == 1 || work.is_one_chunk() {
            each(work.all());
            return;
        }
        let next = AtomicUsize::new(0);
        self.call(&|| {
            while let Some(chunk) = work.take(&next, n_threads) {
                each(chunk);
            }
        });
    }

    /// Runs `job` on this thread, and on those others that come before it is done here.
    fn call(&mut self, job: &(dyn Fn() + Sync)) {
        // SAFETY: no thread has the job any more when `close` returns, which is before this does;
        // `&mut self` keeps a second call from replacing it.
        let job =
            Job(unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &(dyn Fn() + Sync)>(job) });
        self.shared.open(job);
        let own = catch_unwind(AssertUnwindSafe(job.0));
        let others = self.shared.close();
        if let Some(panic) = own.err().or(others) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.called.notify_all();
        for thread in self.others.drain(..) {
            // A thread's panics are caught; there is nothing else to hear from it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// No code panics while it has the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a job to the other threads.
    fn open(&self, job: Job) {
        let mut state = self.lock();
        state.job = Some(job);
        self.calls.fetch_add(1, Ordering::Relaxed);
        let sleeping = state.sleeping > 0;
        drop(state);
        if sleeping {
            self.called.notify_all();
        }
    }

    /// Takes the job back, once the threads that are at it have finished; returns what one of them
    /// panicked with.
    fn close(&self) -> Option<Box<dyn Any + Send>> {
        self.lock().job = None;
        spin_while(|| self.running.load(Ordering::Relaxed) > 0);
        let mut state = self.lock();
        while self.running.load(Ordering::Relaxed) > 0 {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.panic.take()
    }

    /// A thread's life: one call after the other.
    fn serve(&self) {
        let mut calls = 0;
        loop {
            spin_while(|| self.calls.load(Ordering::Relaxed) == calls);
            let mut state = self.lock();
            while self.calls.load(Ordering::Relaxed) == calls && !state.over {
                state.sleeping += 1;
                state = self.called.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.sleeping -= 1;
            }
            if state.over {
                return;
            }
            calls = self.calls.load(Ordering::Relaxed);
            let Some(job) = state.job else { continue };
            self.running.fetch_add(1, Ordering::Relaxed);
            drop(state);
            let result = catch_unwind(AssertUnwindSafe(job.0));
            let mut state = self.lock();
            state.panic = state.panic.take().or(result.err());
            if self.running.fetch_sub(1, Ordering::Relaxed) == 1 && state.job.is_none() {
                self.done.notify_one();
            }
        }
    }
}

/// Waits while `busy`, but not for long.
fn spin_while(busy: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if !busy() {
            return;
        }
        spin_loop();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn chunks_cover_everything_once_and_shrink() {
        for n in [0, 1, 32, 1536, 4000] {
            for unit in [1, 32, 256] {
                for n_threads in 1..4 {
                    let (next, work) = (AtomicUsize::new(0), Work::Even { n, unit });
                    let taken = std::iter::from_fn(|| work.take(&next, n_threads));
                    let taken: Vec<_> = taken.collect();
                    let all: Vec<usize> = taken.iter().cloned().flatten().collect();
                    assert_eq!(all, (0..n).collect::<Vec<_>>());
                    assert!(taken.iter().all(|chunk| chunk.start % unit == 0));
                    assert!(taken.is_sorted_by_key(|chunk| std::cmp::Reverse(chunk.len())));
                }
            }
        }
    }

    /// How often each part of `work` was handed out.
    fn counts(pool: &mut Pool, work: Work) -> Vec<usize> {
        let counts: Vec<_> = work.all().map(|_| AtomicUsize::new(0)).collect();
        pool.divide(work, |part| {
            for count in &counts[part] {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        counts.into_iter().map(AtomicUsize::into_inner).collect()
    }

    #[test]
    fn every_part_is_handed_out_once() {
        for n_threads in 1..5 {
            let mut pool = Pool::new(n_threads).expect("threads start");
            assert_eq!(pool.n_threads(), n_threads);
            for i in 0..if cfg!(miri) { 2 } else { 200 } {
                // Threads that spin, and threads that have fallen asleep.
                if i % 50 == 1 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                for work in [Work::Even { n: 1000, unit: 7 }, Work::Tasks(50), Work::Tasks(0)] {
                    assert!(counts(&mut pool, work).iter().all(|&count| count == 1));
                }
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let mut pool = Pool::new(3).expect("threads start");
        for culprit in [0, 49] {
            let divide = AssertUnwindSafe(|| {
                pool.divide(Work::Tasks(50), |task| assert_ne!(task.start, culprit, "a bad task"));
            });
            let panic = catch_unwind(divide).expect_err("a task panics");
            assert!(panic.downcast_ref::<String>().is_some_and(|text| text.contains("a bad task")));
        }
        assert!(counts(&mut pool, Work::Tasks(9)).iter().all(|&count| count == 1));
    }
}

/// Every order in which threads may meet, with up to three switches that nobody waited for:
/// `make test-loom`.
#[cfg(all(test, loom))]
mod orders {
    use super::*;

    #[test]
    fn every_task_is_done_once_when_the_call_returns() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let mut pool = Pool::new(2).expect("threads start");
            for _ in 0..2 {
                let done = [AtomicUsize::new(0), AtomicUsize::new(0)];
                pool.divide(Work::Tasks(2), |task| {
                    done[task.start].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1));
            }
        });
    }
}
