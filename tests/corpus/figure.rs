//! The rest of the signer: torso, arms by two-bone inverse kinematics, hands with five fingers each.

use anyhow::Result;

use crate::canvas::Canvas;
use crate::face::Face;
use crate::geometry::{Point, at};
use crate::mouthing::Mouth;
use crate::sign::HandPose;
use crate::signer::{Head, Signer};

/// Everything that moves by intention, in one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyPose {
    pub(crate) right: HandPose,
    pub(crate) left: HandPose,
    pub(crate) mouth: Mouth,
}

const SHOULDER_HEIGHT: f32 = 122.0;
/// From the middle of the palm to the wrist.
const WRIST: f32 = 10.0;

/// Draws one frame and returns the face that was drawn.
pub(crate) fn draw(canvas: &mut Canvas, signer: &Signer, head: Head, body: &BodyPose) -> Result<Face> {
    let face = Face::new(signer, head, body.mouth);
    canvas.clear()?;
    face.draw_back(canvas, signer)?;
    draw_torso(canvas, signer)?;
    face.draw(canvas, signer)?;
    // The left arm first: the right hand is the one that acts, also on the left one.
    for (hand, side) in [(&body.left, 1.0), (&body.right, -1.0)] {
        draw_arm(canvas, signer, hand, side)?;
        draw_hand(canvas, signer, hand, side)?;
    }
    Ok(face)
}

fn draw_torso(canvas: &mut Canvas, signer: &Signer) -> Result<()> {
    let wide = signer.shoulders;
    let neck = signer.skin.times(0.86);
    canvas.polygon(&[at(-13.0, 80.0), at(13.0, 80.0), at(15.0, 118.0), at(-15.0, 118.0)], neck)?;
    let half = [
        at(12.0, 108.0),
        at(wide * 0.6, 111.0),
        at(wide, 116.0),
        at(wide + 7.0, 128.0),
        at(wide + 2.0, 180.0),
        at(wide - 4.0, 230.0),
        at(wide, 330.0),
    ];
    let outline: Vec<Point> = half.iter().map(|p| p.mirrored()).chain(half.iter().rev().copied()).collect();
    canvas.polygon(&outline, signer.clothes)?;
    canvas.polygon(&[at(-12.0, 107.0), at(12.0, 107.0), at(0.0, 126.0)], neck)
}

/// Where the elbow goes: bones of fixed length, drawn shorter where the hand is nearer than they allow in the
/// picture plane (the arm then points out of it).
fn elbow(shoulder: Point, wrist: Point, bones: [f32; 2], side: f32) -> Point {
    let reach = wrist - shoulder;
    let distance = reach.length().max(1.0);
    // Beyond its length an arm is stretched, as a lean of the body would do.
    let stretch = (distance / (bones[0] + bones[1]) * 1.02).max(1.0);
    let [upper, fore] = bones.map(|bone| bone * stretch);
    let along = ((upper * upper - fore * fore + distance * distance) / (2.0 * distance)).clamp(-upper, upper);
    let off = (upper * upper - along * along).max(0.0).sqrt() * 0.9;
    let direction = reach * (1.0 / distance);
    // Elbows hang down and outwards. Only the part of that wish that is across the reach can be granted; taken
    // as it is, not stretched to full length, it never makes an elbow jump from one side to the other.
    let wish = at(side * 0.6, 0.8);
    let across = wish - direction * (wish.x * direction.x + wish.y * direction.y);
    shoulder + direction * along + across * off
}

fn draw_arm(canvas: &mut Canvas, signer: &Signer, hand: &HandPose, side: f32) -> Result<()> {
    let shoulder = at(side * signer.shoulders, SHOULDER_HEIGHT);
    let wrist = hand.palm - at(0.0, -WRIST * signer.hand).turned(hand.angle);
    let elbow = elbow(shoulder, wrist, signer.arms, side);
    let edge = signer.clothes.times(0.55);
    let sleeve = signer.clothes.times(1.25);
    canvas.limb([shoulder, elbow], [12.5, 10.0], edge)?;
    canvas.limb([shoulder, elbow], [11.5, 9.0], sleeve)?;
    canvas.limb([elbow, wrist], [10.0, 7.0], edge)?;
    canvas.limb([elbow, wrist], [9.0, 6.0], sleeve.times(1.15))
}

/// Thumb side is +x in the hand's own frame, fingers point up, the palm's middle is the origin.
fn draw_hand(canvas: &mut Canvas, signer: &Signer, hand: &HandPose, side: f32) -> Result<()> {
    // The thumb of a right hand (side -1) held up with its palm to the viewer points to the picture's right.
    let thumb_side = -side * if hand.facing < 0.0 { -1.0 } else { 1.0 };
    let breadth = thumb_side * (0.55 + 0.45 * hand.facing.abs());
    let place = |x: f32, y: f32| hand.palm + (at(x * breadth, y) * signer.hand).turned(hand.angle);
    let skin = if hand.facing < 0.0 { signer.skin.times(0.9) } else { signer.skin };
    let edge = signer.skin.times(0.5);
    let [thumb, fingers @ ..] = hand.shape.fingers;

    let mut bones = Vec::with_capacity(5);
    for (index, (length, stretched)) in [17.0, 19.0, 17.5, 14.0].into_iter().zip(fingers).enumerate() {
        let root = 7.2 - 4.8 * index as f32;
        let fan = (root / 7.2) * hand.shape.spread * 21.0;
        let tip = at(0.0, -(2.5 + (length - 2.5) * stretched)).turned(fan);
        bones.push(([place(root, -8.0), place(root + tip.x, -8.0 + tip.y)], 4.8));
    }
    let thumb_tip = if thumb > 0.0 {
        at(0.0, -(4.0 + 10.0 * thumb)).turned(28.0 + 34.0 * thumb + 10.0 * hand.shape.spread.min(0.0))
    } else {
        at(0.0, -4.0)
    };
    let thumb_root = at(8.0, 2.5);
    let thumb_bone =
        [place(thumb_root.x, thumb_root.y), place(thumb_root.x + thumb_tip.x, thumb_root.y + thumb_tip.y)];
    bones.push((thumb_bone, 5.4));

    let palm = |grow: f32| {
        [(-9.0, -9.0), (9.0, -9.0), (10.0, 0.0), (6.5, 10.0), (-6.5, 10.0), (-10.0, 0.0)]
            .map(|(x, y)| place(x + grow * f32::signum(x), y + grow * f32::signum(y)))
    };
    canvas.polygon(&palm(1.2), edge)?;
    for (bone, width) in &bones {
        canvas.stroke(bone, (width + 2.2) * signer.hand, edge)?;
    }
    canvas.polygon(&palm(0.0), skin)?;
    for (bone, width) in &bones {
        canvas.stroke(bone, width * signer.hand, skin)?;
    }
    // Folded fingers lie on the palm: their creases tell a fist from a flat hand.
    if hand.facing > 0.3 {
        for (index, stretched) in fingers.into_iter().enumerate() {
            if stretched < 0.45 {
                let x = 7.2 - 4.8 * index as f32;
                canvas.stroke(&[place(x - 1.5, -1.0), place(x + 1.5, -1.0)], 2.0, edge)?;
                canvas.stroke(&[place(x - 2.4, -9.0), place(x - 2.4, -2.0)], 1.0, edge)?;
            }
        }
        if thumb < 0.2 {
            canvas.stroke(&[place(8.0, 3.0), place(-1.0, 0.5)], 7.0, edge)?;
            canvas.stroke(&[place(8.0, 3.0), place(-1.0, 0.5)], 5.0, skin)?;
        }
    }
    Ok(())
}
