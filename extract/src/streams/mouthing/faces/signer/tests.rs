use super::*;
use crate::streams::mouthing::picture_size::PictureSize;

const SIZE: PictureSize = PictureSize { width: 852, height: 480 };

/// A face of this width whose centre is at (`x`, `y`), trembling a little as people do.
fn face(x: f32, y: f32, width: f32, frame: usize) -> Face {
    let tremble = ((frame * 7 % 5) as f32 - 2.0) * 0.004 * width;
    still(x + tremble, y + tremble, width)
}

fn still(x: f32, y: f32, width: f32) -> Face {
    let half = width / 2.0;
    let points = [[-0.2, -0.1], [0.2, -0.1], [0.0, 0.0], [-0.15, 0.2], [0.15, 0.2]];
    Face {
        bounds: [x - half, y - half, x + half, y + half],
        score: 0.9,
        points: points.map(|[dx, dy]: [f32; 2]| [x + dx * width, y + dy * width]),
    }
}

/// The horizontal place of the chosen face in each frame, followed in windows of 16.
fn follow(frames: usize, faces: impl Fn(usize) -> Vec<Face>) -> Vec<Option<f32>> {
    follow_every(1, frames, faces)
}

/// The same where every so many frames are looked at.
fn follow_every(every: usize, frames: usize, faces: impl Fn(usize) -> Vec<Face>) -> Vec<Option<f32>> {
    let all: Vec<usize> = (0..frames).collect();
    let mut signer = Signer::default();
    let window = |frames: &[usize]| -> Vec<Look> {
        let looks = frames.iter().filter(|t| t.is_multiple_of(every));
        looks.map(|&t| Look { frame: t, size: SIZE, faces: faces(t), another_scene: false }).collect()
    };
    let found = all.chunks(16).flat_map(|frames| signer.follow(&window(frames)));
    found.map(|f| f.map(|f| f.face.centre()[0])).collect()
}

#[track_caller]
fn stays(places: &[Option<f32>], x: impl Fn(usize) -> f32) {
    for (t, place) in places.iter().enumerate() {
        let place = place.unwrap_or_else(|| panic!("frame {t}: no face"));
        assert!((place - x(t)).abs() < 5.0, "frame {t}: {place} where {} is meant", x(t));
    }
}

#[test]
fn a_second_person_who_comes_nearer_is_not_taken() {
    // Larger than the signer from frame 20 on, and named first.
    let faces = |t: usize| {
        let other = face(400.0, 100.0, 60.0 + 4.0 * t as f32, t);
        vec![other, face(150.0, 100.0, 100.0, t)]
    };
    stays(&follow(60, faces), |_| 150.0);
}

#[test]
fn two_who_swap_sides_stay_who_they_are() {
    let left = |t: usize| 100.0 + 6.0 * t as f32;
    let right = |t: usize| 460.0 - 6.0 * t as f32;
    let faces = |t: usize| {
        let near = (left(t) - right(t)).abs() < 60.0;
        let mut faces = vec![face(left(t), 100.0, 100.0, t)];
        // Who passes behind is not seen.
        if !near {
            faces.push(face(right(t), 104.0, 94.0, t));
        }
        if t % 2 == 1 {
            faces.reverse();
        }
        faces
    };
    stays(&follow(60, faces), left);
}

#[test]
fn a_poster_is_not_taken_though_it_is_larger() {
    stays(&follow(40, |t| vec![still(500.0, 100.0, 180.0), face(200.0, 100.0, 90.0, t)]), |_| 200.0);
    // Alone it is a face like any other.
    stays(&follow(40, |_| vec![still(500.0, 100.0, 180.0)]), |_| 500.0);
}

#[test]
fn a_poster_gives_way_to_a_signer_who_comes_later_and_to_rare_looks() {
    let late = |t: usize| match t < 20 {
        true => vec![still(500.0, 100.0, 180.0)],
        false => vec![still(500.0, 100.0, 180.0), face(200.0, 100.0, 90.0, t)],
    };
    assert!(follow(70, late)[45..].iter().all(|place| place.is_some_and(|x| x < 210.0)));
    for every in [4, 8, 16] {
        let faces = |t: usize| vec![still(500.0, 100.0, 180.0), face(200.0, 100.0, 90.0, t / every)];
        let found = follow_every(every, 400, faces);
        assert!(found[10..].iter().all(|place| place.is_some_and(|x| x < 210.0)), "every {every}");
    }
}

#[test]
fn a_signer_who_rests_at_first_is_not_a_poster() {
    // Somebody smaller talks in a corner all the time.
    let guest = |t: usize| face(700.0, 60.0, 60.0, t);
    for rest in [14, 20, 40] {
        let signer =
            |t: usize| if t < rest { still(400.0, 150.0, 110.0) } else { face(400.0, 150.0, 110.0, t) };
        let found = follow(200, |t| vec![guest(t), signer(t)]);
        stays(&found[rest + 20..], |_| 400.0);
        let late = follow(200, |t| if t < 10 { vec![signer(t)] } else { vec![signer(t), guest(t)] });
        stays(&late[rest + 20..], |_| 400.0);
    }
}

#[test]
fn another_face_does_not_stand_in_while_the_signers_is_hidden() {
    let hidden = |t: usize| (20..80).contains(&t);
    let faces = |t: usize| {
        let other = face(330.0, 100.0, 120.0, t);
        if hidden(t) { vec![other] } else { vec![face(180.0, 100.0, 130.0, t), other] }
    };
    for (t, place) in follow(100, faces).into_iter().enumerate() {
        assert_eq!(place.is_none(), hidden(t), "frame {t}");
        assert!(place.is_none_or(|x| (x - 180.0).abs() < 5.0), "frame {t}: {place:?}");
    }
}

#[test]
fn frames_without_a_look_are_bridged() {
    let found = follow_every(5, 60, |t| vec![face(100.0 + 8.0 * t as f32, 100.0, 100.0, t)]);
    assert!(found.len() == 12 && found.iter().all(Option::is_some));
    assert_eq!(follow(2, |_| Vec::new()), [None, None]);
}

// --- The signer is gone --------------------------------------------------------------------------------

/// The signer's face in the wide shot, and in one from nearer.
fn wide(t: usize) -> Face {
    face(440.0, 97.0, 88.0, t)
}

fn near(t: usize) -> Face {
    face(560.0, 190.0, 174.0, t)
}

/// Somebody else, who is larger than the signer in the wide shot.
fn guest(t: usize) -> Face {
    face(150.0, 110.0, 110.0, t)
}

/// Which of the three is at the place `x`.
fn who(place: Option<f32>) -> char {
    match place {
        None => '-',
        Some(x) if (x - 440.0).abs() < 5.0 => 'w',
        Some(x) if (x - 560.0).abs() < 5.0 => 'n',
        Some(x) if (x - 150.0).abs() < 5.0 => 'g',
        Some(x) if (x - 160.0).abs() < 5.0 => 'b',
        Some(x) if (x - 700.0).abs() < 5.0 => 'p',
        Some(x) if (x - 425.0).abs() < 5.0 => 'h',
        Some(x) => panic!("nobody is at {x}"),
    }
}

/// Who is followed, as a letter for each frame; `scenes`: who is there, in the order in which faces are found, and for how
/// many frames.
fn film(scenes: &[(&str, usize)]) -> String {
    film_every(1, scenes)
}

fn film_every(every: usize, scenes: &[(&str, usize)]) -> String {
    let there: Vec<&str> =
        scenes.iter().flat_map(|&(who, frames)| std::iter::repeat_n(who, frames)).collect();
    let faces = |t: usize| -> Vec<Face> {
        let face = |c: char| match c {
            'w' => wide(t / every),
            'n' => near(t / every),
            'g' => guest(t / every),
            'p' => still(700.0, 100.0, 200.0),
            // A hand before the body that is taken for a face.
            'h' => face(425.0, 180.0, 100.0, t),
            // Somebody about where the guest was, from nearer.
            'b' => face(160.0, 125.0, 155.0, t / every),
            _ => panic!("who is {c}"),
        };
        there[t].chars().map(face).collect()
    };
    follow_every(every, there.len(), faces).into_iter().map(who).collect()
}

/// A letter for each frame in which it is followed.
fn times(who: char, frames: usize) -> String {
    who.to_string().repeat(frames)
}

#[test]
fn a_cut_away_and_back_loses_nothing() {
    // Wherever the cuts lie in a window, and however often.
    for first in 3..40 {
        for second in [3, 7, 12, 35, 60, 300] {
            let got = film(&[("w", first), ("n", second), ("w", 60)]);
            let want = times('w', first) + &times('n', second) + &times('w', 60);
            assert_eq!(got, want, "{first}, {second}");
        }
    }
    for length in [4, 10, 25, 55] {
        let scenes = [("w", length), ("n", length)].repeat(5);
        let want = (times('w', length) + &times('n', length)).repeat(5);
        assert_eq!(film(&scenes), want, "{length}");
    }
}

/// Whoever is there after a cut is followed within half a second, or, of frames that are looked at, within two.
#[test]
fn a_cut_away_and_back_with_rare_looks() {
    for every in [2, 3, 5, 8, 12, 25] {
        let scenes = [("w", 100), ("n", 100), ("w", 100), ("g", 100), ("w", 100), ("g", 100)];
        let got = film_every(every, &scenes);
        for (scene, want) in scenes.iter().enumerate().map(|(scene, (who, _))| (scene, *who)) {
            let looks = got.chars().enumerate().filter(|(look, _)| look * every / 100 == scene);
            let late = looks.skip((12 / every).max(1) + 1);
            assert!(
                late.into_iter().all(|(_, who)| who.to_string() == want),
                "every {every}, {scene}: {got}"
            );
        }
    }
}

#[test]
fn the_signer_is_preferred_to_a_guest_who_is_larger() {
    // Cut back to a scene in which both are there.
    let got = film(&[("gw", 5), ("w", 40), ("n", 50), ("gw", 60)]);
    assert_eq!(got[45..], times('n', 50) + &times('w', 60));
    // The guest has a scene alone, and is known in the next one.
    let got = film(&[("w", 50), ("g", 30), ("gw", 60), ("g", 30), ("w", 30)]);
    assert_eq!(got[62..80], times('g', 18));
    assert_eq!(got[80..], times('w', 60) + &times('-', 30) + &times('w', 30));
}

#[test]
fn a_guest_while_the_signer_is_hidden() {
    // There before, seldom or all the time; appearing while the signer is hidden, at once or later.
    for before in [0, 4, 30] {
        for after in [0, 1, 4, 10, 30] {
            for hidden in [6, 13, 40, 70] {
                let alone = hidden.min(after);
                let scenes =
                    [("w", 40), ("gw", before), ("", alone), ("g", hidden - alone), ("gw", 20), ("w", 40)];
                let got = film(&scenes);
                let (lost, back) = (40 + before, 40 + before + hidden);
                let name = format!("guest {before} before, {after} after, {hidden} frames hidden: {got}");
                assert_eq!(got[..lost], times('w', lost), "{name}");
                let waited = lost..back.min(lost + 12);
                if before > 0 || after > 2 {
                    assert_eq!(got[waited.clone()], times('-', waited.len()), "{name}");
                }
                if before == 30 {
                    assert_eq!(got[lost..back], times('-', hidden), "a known guest; {name}");
                }
                assert_eq!(got[back + 12..], times('w', 48), "{name}");
            }
        }
    }
}

#[test]
fn a_true_change_of_signer() {
    // Half a second is waited for the first one, also through black.
    assert_eq!(film(&[("w", 40), ("g", 200)]), times('w', 40) + &times('-', 12) + &times('g', 188));
    let got = film(&[("w", 40), ("", 20), ("g", 200)]);
    assert_eq!(got[..40], times('w', 40));
    assert_eq!(got[66..], times('g', 194));
    // The first was there for a moment, and comes back beside the second much later.
    let got = film(&[("w", 10), ("n", 200), ("wn", 100)]);
    assert_eq!(got, times('w', 10) + &times('n', 300));
}

#[test]
fn a_guest_who_stays_after_the_signer_has_gone() {
    let got = film(&[("w", 40), ("gw", 60), ("g", 200)]);
    assert_eq!(got[..100], times('w', 100));
    assert!(got[100..170].chars().all(|c| c == '-'), "{got}");
    assert_eq!(got[180..], times('g', 120));
}

#[test]
fn a_signer_who_is_away_for_long_comes_back() {
    for away in [100, 500, 1500] {
        for there in ["", "g"] {
            let got = film(&[("w", 40), ("gw", 60), (there, away), ("gw", 100)]);
            assert_eq!(got[100 + away + 12..], times('w', 88), "{there:?} for {away} frames");
        }
    }
    // At another place, after the frames in which it is not known who that is.
    let got = film(&[("w", 60), ("", 40), ("n", 60)]);
    assert_eq!(got[112..], times('n', 48));
}

#[test]
fn frames_at_a_cut() {
    // A mix of both scenes shows both faces, or none.
    for mixed in [("wn", 1), ("wn", 2), ("", 1), ("", 2)] {
        let got = film(&[("w", 40), mixed, ("n", 60)]);
        assert_eq!(got[40 + mixed.1..], times('n', 60), "{mixed:?}");
    }
    // A slow one is followed within half a second.
    let got = film(&[("w", 40), ("wn", 8), ("n", 60)]);
    assert_eq!(got[60..], times('n', 48));
}

#[test]
fn a_hand_that_looks_like_a_face_for_a_moment_is_not_taken() {
    for frames in [1, 2] {
        let want = times('w', 35) + &times('-', frames + 10) + &times('w', 40);
        assert_eq!(film(&[("w", 35), ("h", frames), ("", 10), ("w", 40)]), want);
    }
    // The face is back before the hand is gone.
    let got = film(&[("w", 35), ("h", 2), ("wh", 4), ("w", 40)]);
    assert_eq!(got, times('w', 35) + "--" + &times('w', 44));
    // Where nothing else is known yet, it was the signer's for no longer than it was there.
    let got = film(&[("", 15), ("h", 1), ("w", 60)]);
    assert_eq!(got, times('-', 15) + "h" + &times('w', 60));
}

/// After a cut, a face at the place where the guest was is somebody else's.
#[test]
fn a_cut_to_somebody_where_the_guest_was() {
    let got = film(&[("w", 20), ("gw", 60), ("b", 60)]);
    assert_eq!(got[92..], times('b', 48));
}

#[test]
fn an_earlier_signer_is_not_a_guest() {
    // Beside the second, who was there for longer, and then alone.
    let got = film(&[("w", 50), ("n", 100), ("wn", 60), ("w", 60)]);
    assert_eq!(got[..210], times('w', 50) + &times('n', 160));
    assert_eq!(got[222..], times('w', 48));
}

#[test]
fn a_poster_is_never_the_signers_stand_in() {
    let got = film(&[("pw", 60), ("p", 200), ("pw", 40)]);
    assert_eq!(got, times('w', 60) + &times('-', 200) + &times('w', 40));
    // It moves with a cut, but stays a picture.
    let got = film(&[("w", 60), ("pn", 60), ("w", 40)]);
    assert_eq!(got[70..], times('n', 50) + &times('w', 40));
}

#[test]
fn the_signer_passes_behind_somebody() {
    let signer = |t: usize| 100.0 + 6.0 * t as f32;
    let other = |t: usize| 460.0 - 6.0 * t as f32;
    let hidden = |t: usize| (signer(t) - other(t)).abs() < 60.0;
    let faces = |t: usize| {
        // Named first, and larger from the middle on; who the signer is was decided before.
        let mut faces = vec![face(other(t), 104.0, 90.0 + t as f32 * 0.3, t)];
        if !hidden(t) {
            faces.push(face(signer(t), 100.0, 100.0, t));
        }
        faces
    };
    for (t, place) in follow(60, faces).into_iter().enumerate() {
        assert_eq!(place.is_none(), hidden(t), "frame {t}");
        assert!(place.is_none_or(|x| (x - signer(t)).abs() < 5.0), "frame {t}: {place:?}");
    }
}

/// Pictures of half the size for a while: nobody is lost, and the guest stays a guest.
#[test]
fn the_size_of_the_pictures_changes() {
    let half = |t: usize| (30..60).contains(&t) || (70..75).contains(&t);
    let small = PictureSize { width: 426, height: 240 };
    let all: Vec<Look> = (0..120)
        .map(|t| {
            let to = SIZE.to(small).filter(|_| half(t)).unwrap_or(
                crate::streams::mouthing::crop::similarity::Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 },
            );
            let place = |face: Face| {
                let at = |[x, y]: [f32; 2]| to.apply([x.into(), y.into()]).map(|v| v as f32);
                let [x1, y1, x2, y2] = face.bounds;
                let ([x1, y1], [x2, y2]) = (at([x1, y1]), at([x2, y2]));
                Face { bounds: [x1, y1, x2, y2], score: face.score, points: face.points.map(at) }
            };
            let faces = if (85..95).contains(&t) {
                vec![face(150.0, 110.0, 80.0, t)]
            } else {
                vec![wide(t), face(150.0, 110.0, 80.0, t)]
            };
            Look {
                frame: t,
                size: if half(t) { small } else { SIZE },
                faces: faces.into_iter().map(place).collect(),
                another_scene: false,
            }
        })
        .collect();
    let mut signer = Signer::default();
    let found: Vec<_> = all.chunks(16).flat_map(|window| signer.follow(window)).collect();
    for (t, face) in found.iter().enumerate() {
        assert_eq!(face.is_none(), (85..95).contains(&t), "frame {t}");
        let x = if half(t) { 220.0 } else { 440.0 };
        assert!(
            face.is_none_or(|f| !f.changed && (f.face.centre()[0] - x).abs() < 5.0),
            "frame {t}: {face:?}"
        );
    }
}

#[test]
fn a_change_of_the_face_is_told_once() {
    let scenes = [30, 60, 90, 110];
    let faces = |t: usize| match scenes.iter().filter(|start| t >= **start).count() {
        0 | 2 => vec![wide(t)],
        3 => Vec::new(),
        4 => vec![wide(t)],
        _ => vec![near(t)],
    };
    let all: Vec<Look> =
        (0..140).map(|t| Look { frame: t, size: SIZE, faces: faces(t), another_scene: false }).collect();
    let mut signer = Signer::default();
    let found: Vec<_> = all.chunks(16).flat_map(|window| signer.follow(window)).collect();
    let changed = |(t, f): (usize, &Option<SignerFace>)| f.is_some_and(|f| f.changed).then_some(t);
    let changed: Vec<usize> = found.iter().enumerate().filter_map(changed).collect();
    assert_eq!(changed, [30, 60], "hidden is not changed");
}

/// In another scene anybody is followed at once, wherever the face is; in the same one somebody else is waited for.
#[test]
fn a_cut_to_another_scene() {
    let faces = |t: usize| vec![if (40..80).contains(&t) { guest(t) } else { wide(t) }];
    for cut in [true, false] {
        let look =
            |t| Look { frame: t, size: SIZE, faces: faces(t), another_scene: cut && (t == 40 || t == 80) };
        let all: Vec<Look> = (0..120).map(look).collect();
        let mut signer = Signer::default();
        let found = all.chunks(16).flat_map(|window| signer.follow(window));
        let got: String = found.map(|f| who(f.map(|f| f.face.centre()[0]))).collect();
        let late = if cut { 0 } else { 12 };
        assert_eq!(got, times('w', 40) + &times('-', late) + &times('g', 40 - late) + &times('w', 40));
    }
}

/// Cut back to the first scene, in which somebody else is much larger by now.
#[test]
fn an_earlier_signer_is_preferred_after_a_cut() {
    let faces = |t: usize| match t {
        40..80 => vec![near(t)],
        80.. => vec![face(150.0, 150.0, 250.0, t), wide(t)],
        _ => vec![wide(t)],
    };
    let look = |t| Look { frame: t, size: SIZE, faces: faces(t), another_scene: t == 40 || t == 80 };
    let all: Vec<Look> = (0..120).map(look).collect();
    let mut signer = Signer::default();
    let found = all.chunks(16).flat_map(|window| signer.follow(window));
    let got: String = found.map(|f| who(f.map(|f| f.face.centre()[0]))).collect();
    assert_eq!(got, times('w', 40) + &times('n', 40) + &times('w', 40));
}

/// Whatever happened before: who was the signer and is there alone is followed within half a second.
#[test]
fn the_signer_is_found_again_whatever_happened_before() {
    let scenes = ["w", "n", "g", "b", "gw", "wg", "gn", "bw", "pw", "pn", "p", "", "wn"];
    let mut state = 1_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for turn in 0..2000 {
        let mut film_of = vec![("w", 40)];
        for _ in 0..random(9) {
            let (scene, longest) = (scenes[random(scenes.len())], [3, 16, 120][random(3)]);
            film_of.push((scene, 1 + random(longest)));
        }
        film_of.push(("w", 40));
        let got = film(&film_of);
        assert!(got.ends_with(&times('w', 28)), "{turn}: {film_of:?}\n{got}");
    }
}
