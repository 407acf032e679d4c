//! Attention over packed sequences, and what is kept of its pattern.

use super::numbers::{ONE_ROUNDING, agree, agree_to, device, floats, numbers, read};
use crate::ops::{Attended, Heads};
use crate::{Batch, Buffer, Device, Keep, Kept, Piece};

/// Shorter and longer than tiles of 16 and 64, and at their edges.
const LENGTHS: [usize; 6] = [1, 16, 63, 64, 130, 300];

/// The pattern of a sequence by plain loops: `[head][query][key]`.
fn pattern(qkv: &[f32], start: usize, length: usize, heads: Heads) -> Vec<Vec<Vec<f32>>> {
    let Heads { queries, keys, width } = heads;
    let columns = (queries + 2 * keys) * width;
    let row = |position: usize, column: usize| &qkv[(start + position) * columns + column * width..][..width];
    let of_query = |head: usize, query: usize| {
        let scores = (0..=query).map(|key| {
            let pairs = row(query, head).iter().zip(row(key, queries + head / (queries / keys)));
            pairs.map(|(q, k)| q * k).sum::<f32>() / (width as f32).sqrt()
        });
        let scores = scores.collect::<Vec<_>>();
        let largest = scores.iter().copied().fold(f32::MIN, f32::max);
        let weights = scores.iter().map(|score| (score - largest).exp()).collect::<Vec<_>>();
        let total = weights.iter().sum::<f32>();
        weights.iter().map(|weight| weight / total).collect::<Vec<_>>()
    };
    (0..queries).map(|head| (0..length).map(|query| of_query(head, query)).collect()).collect()
}

struct Case {
    device: Device,
    heads: Heads,
    qkv: Vec<f32>,
    on_device: Buffer,
    batch: Batch,
}

impl Case {
    fn new(width: usize) -> Self {
        let device = device(width);
        let heads = Heads { queries: 6, keys: 2, width };
        let tokens = LENGTHS.iter().sum::<usize>();
        let qkv = numbers(tokens * 10 * width, 8);
        let batch = Batch::new(&device, &vec![0; tokens], &LENGTHS).unwrap();
        Self { on_device: Buffer::of(&device, &qkv).unwrap(), qkv: floats(&qkv), device, heads, batch }
    }

    fn from(&self) -> Attended {
        let (q, columns) = (self.on_device.at(), 10 * self.heads.width);
        let at = |head: usize| q + (2 * head * self.heads.width) as u64;
        Attended { q, k: at(6), v: at(8), q_stride: columns, kv_stride: columns }
    }
}

fn mixed(case: &Case) -> Vec<f32> {
    let (width, columns) = (case.heads.width, 10 * case.heads.width);
    let (mut expected, mut start) = (Vec::new(), 0);
    for length in LENGTHS {
        let pattern = pattern(&case.qkv, start, length, case.heads);
        for query in 0..length {
            for (head, rows) in pattern.iter().enumerate() {
                for column in 0..width {
                    let value =
                        |key: usize| case.qkv[(start + key) * columns + (8 + head / 3) * width + column];
                    expected.push(rows[query].iter().enumerate().map(|(key, w)| w * value(key)).sum::<f32>());
                }
            }
        }
        start += length;
    }
    expected
}

/// The last token of every sequence goes on from all before it, which lie where they lay.
#[test]
fn single_queries_go_on_from_their_past() {
    for width in [64, 128] {
        let case = Case::new(width);
        let (columns, row) = (10 * width, 6 * width);
        let (mut pieces, mut lasts, mut end) = (Vec::new(), Vec::new(), 0);
        for length in LENGTHS {
            pieces.push(Piece { past: length - 1, tokens: 1, room: end });
            end += length;
            lasts.push(end as i32 - 1);
        }
        let batch = Batch::remembered(&case.device, &[0; LENGTHS.len()], &pieces).unwrap();
        let queries = Buffer::new(&case.device, 2 * LENGTHS.len() * columns).unwrap();
        let places = Buffer::of(&case.device, &lasts).unwrap();
        let (table, shape) = (case.on_device.at(), [LENGTHS.len(), columns]);
        case.device.gather(table, places.at(), queries.at(), shape).unwrap();
        let out = Buffer::new(&case.device, 2 * LENGTHS.len() * row).unwrap();
        let from = Attended { q: queries.at(), ..case.from() };
        case.device.attend(from, out.at(), &batch, case.heads).unwrap();
        let all = mixed(&case);
        let expected = lasts.iter().flat_map(|last| &all[*last as usize * row..][..row]).copied();
        let found = read(&case.device, &out, LENGTHS.len() * row);
        agree_to(&found, &expected.collect::<Vec<_>>(), (2.0 * ONE_ROUNDING, 1.0));
    }
}

#[test]
fn values_are_mixed_by_the_pattern() {
    for width in [64, 128] {
        let case = Case::new(width);
        let count = case.batch.tokens() * 6 * width;
        let out = Buffer::new(&case.device, 2 * count).unwrap();
        case.device.attend(case.from(), out.at(), &case.batch, case.heads).unwrap();
        // Weights and results are rounded; values are as large as 1.
        agree_to(&read(&case.device, &out, count), &mixed(&case), (ONE_ROUNDING, 1.0));
    }
}

#[test]
fn rows_of_the_pattern_are_kept() {
    let case = Case::new(128);
    let decisions = LENGTHS.map(|length| length - 1).to_vec();
    let keep = Keep { strongest: 8, decisions };
    let kept = Kept::new(&case.device, &case.batch, &keep, 6).unwrap();
    kept.fill(&case.device, case.from(), &case.batch, case.heads).unwrap();
    let all = kept.out.read::<u32>(&case.device, kept.counts.iter().sum()).unwrap();
    let mut rest = all.as_slice();
    let [weights, keys, mass, entropy, whole] = kept.counts.map(|count| {
        let (here, after) = rest.split_at(count);
        rest = after;
        here
    });
    let float = |bits: &u32| f32::from_bits(*bits);
    let (mut start, mut place, tokens) = (0, 0, case.batch.tokens());
    for length in LENGTHS {
        let pattern = pattern(&case.qkv, start, length, case.heads);
        for (head, rows) in pattern.iter().enumerate() {
            for (query, row) in rows.iter().enumerate() {
                let at = head * tokens + start + query;
                let mut order = (0..row.len()).collect::<Vec<_>>();
                order.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
                order.truncate(8);
                let strongest = order.iter().map(|key| row[*key]).collect::<Vec<_>>();
                let found = weights[at * 8..][..order.len()].iter().map(float).collect::<Vec<_>>();
                agree(&found, &strongest, 1e-4);
                for (place, key) in keys[at * 8..][..order.len()].iter().enumerate() {
                    assert!((row[*key as usize] - strongest[place]).abs() < 1e-5, "key {key} at {place}");
                }
                assert!(keys[at * 8 + order.len()..][..8 - order.len()].iter().all(|key| *key == u32::MAX));
                let decides = query == length - 1;
                let held = if decides { 1.0 } else { strongest.iter().sum::<f32>() };
                assert!((float(&mass[at]) - held).abs() < 1e-4);
                let expected = row.iter().map(|p| if *p > 0.0 { -p * p.ln() } else { 0.0 }).sum::<f32>();
                assert!(
                    (float(&entropy[at]) - expected).abs() < 1e-3,
                    "{} and {expected}",
                    float(&entropy[at])
                );
                if decides {
                    let found =
                        whole[place + head * length..][..length].iter().map(float).collect::<Vec<_>>();
                    agree(&found, row, 1e-4);
                }
            }
        }
        place += 6 * length;
        start += length;
    }
}
