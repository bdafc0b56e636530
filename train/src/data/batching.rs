//! Which clips make up the batches of an epoch: a pure function of (seed, epoch) and the lengths of the clips,
//! whatever the number of devices.
//!
//! Clips of one batch are of similar length, so that little of it is padding: the epoch's random order is cut into
//! pools of several batches, a pool is sorted by length and cut into batches, and the batches are shuffled.

use signclip_common::synthetic::Random;

/// The batches of `epoch`. Every clip is in one of them; all but one have `batch_size` clips. `pool` is the number of
/// batches that are sorted together; 1 sorts nothing across batches.
pub fn epoch_batches(
    frames: &[usize],
    batch_size: usize,
    pool: usize,
    seed: u64,
    epoch: usize,
) -> Vec<Vec<usize>> {
    let mut order = permutation(frames.len(), &Random::new(&format!("order of epoch {epoch}"), seed));
    for clips in order.chunks_mut(batch_size * pool) {
        clips.sort_by_key(|&clip| frames[clip]);
    }
    let batches: Vec<&[usize]> = order.chunks(batch_size).collect();
    let shuffled = permutation(batches.len(), &Random::new(&format!("batches of epoch {epoch}"), seed));
    shuffled.into_iter().map(|batch| batches[batch].to_vec()).collect()
}

/// Updates of an epoch over so many clips.
pub fn steps_per_epoch(clips: usize, batch_size: usize, drop_last: bool) -> u64 {
    (if drop_last { clips / batch_size } else { clips.div_ceil(batch_size) }) as u64
}

/// A random order of `n` things.
pub fn permutation(n: usize, random: &Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, (random.unit(last as u64) * (last + 1) as f64) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<usize> {
        let random = Random::new("lengths", 0);
        (0..1003).map(|clip| 16 + (random.unit(clip) * 300.0) as usize).collect()
    }

    /// Frames that padding adds to every frame.
    fn waste(batches: &[Vec<usize>], frames: &[usize]) -> f64 {
        let padded = |batch: &Vec<usize>| batch.iter().map(|&c| frames[c]).max().unwrap_or(0) * batch.len();
        let padded: usize = batches.iter().map(padded).sum();
        padded as f64 / frames.iter().sum::<usize>() as f64 - 1.0
    }

    #[test]
    fn every_clip_once() {
        let frames = frames();
        for pool in [1, 8] {
            let batches = epoch_batches(&frames, 16, pool, 5, 2);
            assert_eq!(batches.len(), 1003_usize.div_ceil(16));
            assert_eq!(batches.iter().filter(|b| b.len() != 16).count(), 1);
            let mut clips = batches.concat();
            clips.sort_unstable();
            assert_eq!(clips, (0..1003).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_differ_and_come_back() {
        let frames = frames();
        let batches = |seed, epoch| epoch_batches(&frames, 16, 8, seed, epoch);
        assert_eq!(batches(1, 3), batches(1, 3));
        assert_ne!(batches(1, 3), batches(1, 4));
        assert_ne!(batches(1, 3), batches(2, 3));
    }

    #[test]
    fn pools_save_padding() {
        let frames = frames();
        let [alone, pooled] = [1, 32].map(|pool| waste(&epoch_batches(&frames, 16, pool, 1, 0), &frames));
        assert!(alone > 0.5 && pooled < 0.05, "{alone} {pooled}");
        // Batches do not come in the order of their lengths.
        let batches = epoch_batches(&frames, 16, 32, 1, 0);
        let first: Vec<usize> = batches.iter().map(|b| frames[b[0]]).collect();
        assert!(!first.is_sorted());
    }
}
