//! What a sign is made of: the hands (shape, place, movement; one or both) and, apart from them, the mouthing.
//! The two are separate data, so that one pair of hands can carry several mouthings.

use crate::geometry::{Blend, Point, at};
use crate::handshape::HandShape;
use crate::mouthing::Mouthing;

#[derive(Clone, Debug)]
pub(crate) struct Sign {
    pub(crate) hands: Hands,
    /// Hands that they are blurred with: what is shown is midway.
    pub(crate) blurred: Option<Hands>,
    pub(crate) mouthing: Mouthing,
    pub(crate) mouthed: Mouthed,
}

/// Whether the lips form the word. In signing not every word is mouthed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mouthed {
    Always,
    Never,
    /// By chance, one in so many not.
    AllButOneIn(usize),
}

/// One hand in one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HandPose {
    /// Middle of the palm.
    pub(crate) palm: Point,
    /// Where the fingers point, in degrees clockwise: 0 up, 90 to the right of the picture.
    pub(crate) angle: f32,
    /// 1: palm towards the viewer, 0: edge, -1: back of the hand.
    pub(crate) facing: f32,
    pub(crate) shape: HandShape,
}

impl HandPose {
    /// The same pose of the other hand. The renderer draws left hands with the thumb on the other side.
    pub(crate) fn mirrored(self) -> Self {
        Self { palm: self.palm.mirrored(), angle: -self.angle, ..self }
    }
}

impl Blend for HandPose {
    fn blend(self, other: Self, share: f32) -> Self {
        Self {
            palm: self.palm.blend(other.palm, share),
            angle: self.angle.blend(other.angle, share),
            facing: self.facing.blend(other.facing, share),
            shape: self.shape.blend(other.shape, share),
        }
    }
}

/// How a hand travels during the stroke of a sign.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Movement {
    Hold,
    /// To a point this far away, straight.
    Line(f32, f32),
    /// To a point this far away, bulging sideways by the third number.
    Arc(f32, f32, f32),
    /// Once round a circle of this radius.
    Circle(f32),
    /// There and back, twice.
    Shake(f32, f32),
    /// Turns in place by this many degrees.
    Twist(f32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum OtherHand {
    Resting,
    /// Does the same on the other side.
    Mirrored,
    /// Stands still as the base that the first hand acts on.
    Base(HandPose),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Hands {
    start: HandPose,
    end_shape: HandShape,
    movement: Movement,
    other: OtherHand,
}

impl Hands {
    /// A still, one-handed sign, palm towards the viewer.
    pub(crate) const fn one(shape: HandShape, palm: Point, angle: f32) -> Self {
        Self {
            start: HandPose { palm, angle, facing: 1.0, shape },
            end_shape: shape,
            movement: Movement::Hold,
            other: OtherHand::Resting,
        }
    }

    /// The same with both hands.
    pub(crate) const fn both(shape: HandShape, palm: Point, angle: f32) -> Self {
        let mut hands = Self::one(shape, palm, angle);
        hands.other = OtherHand::Mirrored;
        hands
    }

    pub(crate) const fn moving(mut self, movement: Movement) -> Self {
        self.movement = movement;
        self
    }

    pub(crate) const fn becoming(mut self, shape: HandShape) -> Self {
        self.end_shape = shape;
        self
    }

    pub(crate) const fn facing(mut self, facing: f32) -> Self {
        self.start.facing = facing;
        self
    }

    pub(crate) const fn on(mut self, shape: HandShape, palm: Point, angle: f32) -> Self {
        self.other = OtherHand::Base(HandPose { palm, angle, facing: 1.0, shape });
        self
    }

    /// Right and left hand at `time` in 0..=1 of the stroke; `None`: the left hand rests.
    pub(crate) fn pose(&self, time: f32, amplitude: f32) -> (HandPose, Option<HandPose>) {
        use std::f32::consts::{PI, TAU};
        let course = crate::geometry::minimum_jerk(time);
        let mut right = self.start;
        right.shape = self.start.shape.blend(self.end_shape, course);
        let travel = match self.movement {
            Movement::Hold | Movement::Twist(_) => at(0.0, 0.0),
            Movement::Line(x, y) => at(x, y) * course,
            Movement::Arc(x, y, bulge) => {
                let across = at(-y, x) * (bulge / at(x, y).length().max(1.0));
                at(x, y) * course + across * (PI * course).sin()
            }
            Movement::Circle(radius) => {
                let turn = TAU * course;
                at(turn.sin() * radius, (1.0 - turn.cos()) * radius)
            }
            Movement::Shake(x, y) => at(x, y) * (0.5 - 0.5 * (2.0 * TAU * time).cos()),
        };
        if let Movement::Twist(degrees) = self.movement {
            right.angle += degrees * course;
        }
        right.palm = right.palm + travel * amplitude;
        let left = match self.other {
            OtherHand::Resting => None,
            OtherHand::Mirrored => Some(right.mirrored()),
            OtherHand::Base(pose) => Some(pose),
        };
        (right, left)
    }
}
