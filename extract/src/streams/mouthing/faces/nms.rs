//! Non-maximum suppression: of boxes that overlap, only the best one stays.

/// Indices of the boxes `[x1, y1, x2, y2]` that stay, at most `most`. The boxes come best first.
///
/// A box goes where its intersection with a better one that stays is more than `overlap` of their union. `edge` is
/// added to widths and heights: 1 where the corners are taken for the first and last pixel, 0 where for coordinates.
pub fn suppress(boxes: &[[f32; 4]], overlap: f32, edge: f32, most: usize) -> Vec<usize> {
    let area = |b: &[f32; 4]| (b[2] - b[0] + edge) * (b[3] - b[1] + edge);
    let mut kept: Vec<usize> = Vec::new();
    for (index, candidate) in boxes.iter().enumerate() {
        if kept.len() >= most {
            break;
        }
        let overlaps = kept.iter().any(|&better| {
            let better = &boxes[better];
            let width = (better[2].min(candidate[2]) - better[0].max(candidate[0]) + edge).max(0.0);
            let height = (better[3].min(candidate[3]) - better[1].max(candidate[1]) + edge).max(0.0);
            let both = width * height;
            both / (area(better) + area(candidate) - both) > overlap
        });
        if !overlaps {
            kept.push(index);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_boxes_stay() {
        let boxes =
            [[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0], [20.0, 20.0, 29.0, 29.0], [0.0, 5.0, 9.0, 14.0]];
        assert_eq!(suppress(&boxes, 0.4, 1.0, 10), [0, 2, 3]);
        assert_eq!(suppress(&boxes, 0.3, 1.0, 10), [0, 2]);
        assert_eq!(suppress(&boxes, 0.4, 1.0, 1), [0]);
        assert!(suppress(&[], 0.4, 1.0, 10).is_empty());
    }

    #[test]
    fn edge_counts() {
        // Two squares of 2×2 pixels that share two of them: a third of the union, of coordinates nothing.
        let boxes = [[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0]];
        assert_eq!(suppress(&boxes, 0.3, 1.0, 10), [0]);
        assert_eq!(suppress(&boxes, 0.3, 0.0, 10), [0, 1]);
    }
}
