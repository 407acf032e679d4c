//! The writers' lock in an object store: an object that its holder writes again and again. Whoever waits takes it over
//! when it has not changed for the time of a lease on the waiter's own clock, so that nobody's time of day matters.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, process};

use bytes::Bytes;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::LakeError;
use super::layout::{LOCK, STAGING};
use super::lock::Left;
use super::store::Store;

/// How long the lock must have stood still before somebody else takes it over.
const LEASE: Duration = Duration::from_secs(30);

/// The variable that says so in seconds. All writers of a lake must have the same.
const LEASE_VARIABLE: &str = "SAELAKE_LEASE_SECONDS";

/// The shortest that it may say: a slow answer of a store must not cost the lock.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// How often a holder writes its lock in the time of a lease.
const BEATS: u32 = 4;

/// How long whoever waits does so before it looks again, at first and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What a count may be: one more is one too.
const COUNTS: Range<i64> = 1..i64::MAX;

/// What is in the object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    holder: String,
    /// Grows with every change, so that no two are alike.
    count: i64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Held,
    /// Given back, and the lake holds nothing that belongs to no game.
    Free,
    /// Given back, and the lake may hold such things.
    Dirty,
}

/// The lock, until it is dropped.
pub(super) struct Lease {
    beat: Arc<Beat>,
    thread: Option<JoinHandle<()>>,
}

/// What the holder and the thread that keeps the lock alive share.
struct Beat {
    store: Store,
    lease: Duration,
    now: Mutex<Now>,
    wake: Condvar,
}

struct Now {
    record: Record,
    version: UpdateVersion,
    /// Before the last change was sent.
    renewed: Instant,
    is_lost: bool,
    is_over: bool,
}

impl Lease {
    /// Waits for the lock.
    pub(super) fn take(store: &Store) -> Result<(Self, Left), LakeError> {
        Self::take_for(store, lease_asked_for()?)
    }

    fn take_for(store: &Store, lease: Duration) -> Result<(Self, Left), LakeError> {
        let holder = holder();
        let (mut watched, mut pause): (Option<(UpdateVersion, Instant)>, _) = (None, LOOKS.0);
        // What is taken, in case the answer to a change that was made is lost.
        let mut wanted = Left::Clean;
        loop {
            let sent = Instant::now();
            let found = find(store)?;
            let (mode, count) = match &found {
                Some((record, version)) if record.holder == holder => {
                    return Ok((Self::begin(store, lease, (record.clone(), version.clone()), sent), wanted));
                }
                None => {
                    wanted = Left::Running(1);
                    (PutMode::Create, 1)
                }
                Some((record, version)) => {
                    let stood = watched.as_ref().filter(|(watched, _)| watched == version);
                    let stood = stood.map_or(Duration::ZERO, |(_, since)| since.elapsed());
                    wanted = match record.state {
                        State::Free => Left::Clean,
                        State::Dirty => Left::Dirty,
                        State::Held if stood >= lease => Left::Running(record.count + 1),
                        State::Held => {
                            if stood.is_zero() {
                                watched = Some((version.clone(), Instant::now()));
                            }
                            thread::sleep(pause);
                            pause = (pause * 3 / 2).min(LOOKS.1).min(lease / BEATS);
                            continue;
                        }
                    };
                    (PutMode::Update(version.clone()), record.count + 1)
                }
            };
            let record = Record { holder: holder.clone(), count, state: State::Held };
            // Somebody else was faster otherwise, or the answer was lost: the next look tells.
            if let Some(version) = put(store, &record, mode)? {
                return Ok((Self::begin(store, lease, (record, version), sent), wanted));
            }
        }
    }

    /// Makes the lock, if there is none yet.
    pub(super) fn prepare(store: &Store) -> Result<(), LakeError> {
        lease_asked_for()?;
        if find(store)?.is_none() {
            put(store, &Record { holder: String::new(), count: 1, state: State::Free }, PutMode::Create)?;
        }
        Ok(())
    }

    fn begin(
        store: &Store,
        lease: Duration,
        (record, version): (Record, UpdateVersion),
        renewed: Instant,
    ) -> Self {
        let now = Now { record, version, renewed, is_lost: false, is_over: false };
        let beat = Beat { store: store.clone(), lease, now: Mutex::new(now), wake: Condvar::new() };
        let beat = Arc::new(beat);
        let beating = Arc::clone(&beat);
        Self { beat, thread: Some(thread::spawn(move || beating.keep_alive())) }
    }

    /// Refuses to go on after somebody has taken the lock over, or may have.
    pub(super) fn check(&self) -> Result<(), LakeError> {
        let now = self.beat.now();
        if now.is_lost || now.renewed.elapsed() >= self.beat.lease {
            return Err(LakeError::LockLost { path: self.beat.store.root().to_owned() });
        }
        Ok(())
    }

    /// How long something may take that must not come after somebody has taken the lock over: a quarter of a lease at
    /// least. The lock is written anew if there is less.
    pub(super) fn safely(&self) -> Result<Duration, LakeError> {
        self.check()?;
        let mut now = self.beat.now();
        if now.renewed.elapsed() >= self.beat.lease / 2 {
            self.beat.change(&mut now, State::Held)?;
        }
        let left = (self.beat.lease * 3 / 4).saturating_sub(now.renewed.elapsed());
        drop(now);
        self.check().map(|()| left)
    }

    /// Gives the lock back.
    pub(super) fn end(mut self, is_clean: bool) {
        self.stop(if is_clean { State::Free } else { State::Dirty });
    }

    fn stop(&mut self, state: State) {
        let Some(thread) = self.thread.take() else { return };
        self.beat.now().is_over = true;
        self.beat.wake.notify_all();
        // It cannot have panicked, and the lock ends all the same.
        let _ = thread.join();
        let mut now = self.beat.now();
        if !now.is_lost {
            // A lock that cannot be given back is taken over in time.
            let _ = self.beat.change(&mut now, state);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop(State::Dirty);
    }
}

impl Beat {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_alive(&self) {
        let mut now = self.now();
        while !now.is_over && !now.is_lost {
            let waited = self.wake.wait_timeout(now, self.lease / BEATS);
            now = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !now.is_over && self.change(&mut now, State::Held).is_err() {
                // The store may answer again before the lease is over.
                now.is_lost = now.renewed.elapsed() >= self.lease;
            }
        }
    }

    /// Writes the lock anew; it is lost if somebody else has.
    fn change(&self, now: &mut Now, state: State) -> Result<(), LakeError> {
        let sent = Instant::now();
        let record = Record { holder: now.record.holder.clone(), count: now.record.count + 1, state };
        let mut version = put(&self.store, &record, PutMode::Update(now.version.clone()))?;
        if version.is_none() {
            // The answer to this very change may have been lost.
            version = find(&self.store)?.filter(|(there, _)| *there == record).map(|(_, version)| version);
        }
        match version {
            Some(version) => (now.record, now.version, now.renewed) = (record, version, sent),
            None => now.is_lost = true,
        }
        Ok(())
    }
}

/// A name that no other holder has.
fn holder() -> String {
    format!("{:x}-{:016x}", process::id(), RandomState::new().hash_one(Instant::now()))
}

/// The time that the environment says.
fn lease_asked_for() -> Result<Duration, LakeError> {
    let said = env::var_os(LEASE_VARIABLE).map(|said| said.to_string_lossy().into_owned());
    lease(said.as_deref())
}

/// The time that is said, or the usual one where it says nothing.
fn lease(said: Option<&str>) -> Result<Duration, LakeError> {
    let Some(said) = said.filter(|said| !said.is_empty()) else { return Ok(LEASE) };
    let seconds = said.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|lease| *lease >= SHORTEST_LEASE)
        .ok_or_else(|| LakeError::BadLease { variable: LEASE_VARIABLE, said: said.to_owned() })
}

fn path() -> String {
    format!("{STAGING}/{LOCK}")
}

fn find(store: &Store) -> Result<Option<(Record, UpdateVersion)>, LakeError> {
    let (Some(objects), place) = (store.objects(), store.place(&path())) else { return Ok(None) };
    let get = async {
        let found = objects.get(&store.object(&path())).await?;
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        Ok((found.bytes().await?, version))
    };
    let (bytes, version) = match store.wait(get) {
        Ok(found) => found,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(LakeError::store(&place, &error)),
    };
    let damaged = |what| LakeError::Damaged { path: place.clone(), what };
    let record: Record = serde_json::from_slice(&bytes)
        .map_err(|error| damaged(format!("it is no lock of this program: {error}")))?;
    if !COUNTS.contains(&record.count) {
        return Err(damaged(format!("its count is {}, which nobody reaches", record.count)));
    }
    Ok(Some((record, version)))
}

/// Writes the lock; none if it is not as `mode` says.
fn put(store: &Store, record: &Record, mode: PutMode) -> Result<Option<UpdateVersion>, LakeError> {
    let (Some(objects), place) = (store.objects(), store.place(&path())) else { return Ok(None) };
    let bytes = serde_json::to_vec(record).map_err(|error| LakeError::io(&place, error.into()))?;
    let options = PutOptions { mode, ..PutOptions::default() };
    match store.wait(objects.put_opts(&store.object(&path()), Bytes::from(bytes).into(), options)) {
        Ok(put) => Ok(Some(put.into())),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(LakeError::store(&place, &error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use schemas::tokens;

    use super::*;
    use crate::lake::commit::Change;
    use crate::lake::log::{Log, News};

    const SHORT: Duration = Duration::from_millis(200);

    /// A holder that stands still: it writes its lock no more.
    fn stand_still(lease: &mut Lease) {
        lease.beat.now().is_over = true;
        lease.beat.wake.notify_all();
        lease.thread.take().unwrap().join().unwrap();
    }

    fn marked(name: &str) -> Change {
        Change { transaction: Some((name.to_owned(), 1)), ..Change::default() }
    }

    #[test]
    fn a_lock_that_was_given_back_says_what_was_left() {
        let store = Store::in_memory();
        Lease::prepare(&store).unwrap();
        for (is_clean, left) in
            [(true, Left::Clean), (false, Left::Clean), (true, Left::Dirty), (true, Left::Clean)]
        {
            let (lease, found) = Lease::take_for(&store, SHORT).unwrap();
            assert_eq!(found, left);
            lease.check().unwrap();
            lease.end(is_clean);
        }
        // Who panics gives it back too, and says nothing of how the lake is.
        drop(Lease::take_for(&store, SHORT).unwrap());
        assert_eq!(Lease::take_for(&store, SHORT).unwrap().1, Left::Dirty);
    }

    #[test]
    fn a_lock_is_kept_for_as_long_as_its_holder_writes_it() {
        let store = Store::in_memory();
        let busy = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let (lease, _) = Lease::take_for(&store, SHORT).unwrap();
                    assert!(!busy.swap(true, Ordering::SeqCst), "two have the lock");
                    // Longer than a lease.
                    thread::sleep(SHORT * 3 / 2);
                    lease.check().unwrap();
                    busy.store(false, Ordering::SeqCst);
                    lease.end(true);
                });
            }
        });
    }

    #[test]
    fn a_holder_that_stood_still_loses_its_lock() {
        let store = Store::in_memory();
        let (mut late, _) = Lease::take_for(&store, SHORT).unwrap();
        stand_still(&mut late);
        let began = Instant::now();
        let (next, left) = Lease::take_for(&store, SHORT).unwrap();
        assert!(matches!(left, Left::Running(_)) && began.elapsed() >= SHORT, "{left:?}");
        assert!(matches!(late.check(), Err(LakeError::LockLost { .. })));
        // It cannot give back what it does not have.
        late.beat.change(&mut late.beat.now(), State::Free).unwrap();
        assert_eq!(find(&store).unwrap().unwrap().0.state, State::Held);
        next.check().unwrap();
    }

    #[test]
    fn what_must_not_come_late_has_time_or_is_refused() {
        let store = Store::in_memory();
        let (mut lease, _) = Lease::take_for(&store, SHORT).unwrap();
        assert!(lease.safely().unwrap() > SHORT / 4);
        stand_still(&mut lease);
        thread::sleep(SHORT * 5 / 8);
        // It is written anew, and has the time that it had before.
        assert!(lease.safely().unwrap() > SHORT / 4);
        thread::sleep(SHORT);
        assert!(matches!(lease.safely(), Err(LakeError::LockLost { .. })));
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        for said in [None, Some("")] {
            assert_eq!(lease(said).unwrap(), LEASE);
        }
        assert_eq!(lease(Some("2.5")).unwrap(), Duration::from_millis(2500));
        for said in ["30s", "0", "0.5", "-1", "NaN", "inf", "1e300", "thirty"] {
            let refused = lease(Some(said)).unwrap_err();
            assert!(refused.to_string().contains(said) && refused.exit_code() == 2, "{refused}");
        }
    }

    #[test]
    fn a_lock_that_is_none_is_refused() {
        let store = Store::in_memory();
        let objects = store.objects().unwrap();
        for text in [
            "",
            "{",
            "null",
            r#"{"holder": 7, "count": 1, "state": "held"}"#,
            r#"{"holder": "a", "count": 1, "state": "lost"}"#,
            r#"{"holder": "a", "count": 0, "state": "free"}"#,
            r#"{"holder": "a", "count": -9223372036854775808, "state": "held"}"#,
            r#"{"holder": "a", "count": 9223372036854775807, "state": "dirty"}"#,
            r#"{"holder": "a", "count": 1e300, "state": "free"}"#,
        ] {
            let place = store.object(&path());
            store.wait(objects.put(&place, Bytes::from(text).into())).unwrap();
            let error = Lease::take_for(&store, SHORT).err().unwrap();
            assert!(matches!(&error, LakeError::Damaged { path, .. } if path.ends_with("lock")), "{error}");
            assert_eq!((error.exit_code(), error.to_string().lines().count()), (3, 1), "{error}");
        }
    }

    #[test]
    fn a_late_writer_finds_its_version_taken() {
        let store = Store::in_memory();
        Log::create(&store, &tokens::TABLE).unwrap();
        let open = || Log::open(&store, &tokens::TABLE).unwrap();
        let (mut late, mut next) = (open(), open());
        let prepared = late.prepare(marked("late")).unwrap();
        next.fence(7).unwrap();
        let error = late.publish(prepared).unwrap_err();
        assert!(matches!(error, LakeError::Overtaken { table: "tokens", version: 1, .. }), "{error}");
        assert_eq!(late.refresh().unwrap(), News::Added);
        assert_eq!(
            (late.transaction("late").unwrap(), late.transaction("saelake.lock").unwrap()),
            (None, Some(7))
        );
        // Whoever was faster than the fence was in time.
        late.commit(marked("in time")).unwrap();
        next.fence(8).unwrap();
        assert_eq!((next.version, next.transaction("in time").unwrap()), (3, Some(1)));
        assert_eq!(open().version, 3);
    }
}
