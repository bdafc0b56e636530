#!/usr/bin/env bash
# FFmpeg (with dav1d) and OpenCV for the wheel, from Debian 12's source packages: libraries into .tools/media/lib,
# licences and versions into .tools/media/about. What is built and why: docs/packaging.md.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
self=$PWD/scripts/wheel_media.sh place=$PWD/.tools/media

# Equal scripts made equal libraries.
if cmp -s "$self" "$place/built-by"; then exit 0; fi

for program in apt-get dpkg-source gcc g++ nasm meson ninja cmake pkg-config; do
    command -v "$program" >/dev/null || {
        echo "wheel_media: $program is missing: apt-get install --no-install-recommends" \
            'dpkg-dev g++ nasm meson ninja-build cmake pkg-config zlib1g-dev' >&2
        exit 2
    }
done

# --- Sources: Debian's, whose signatures apt checks; the machine's own apt settings stay as they are ---------------

mkdir -p "$place"/{apt/lists/partial,source,log}
for suite in debian=bookworm debian-security=bookworm-security; do
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "http://deb.debian.org/${suite%=*} ${suite#*=} main"
done >"$place/apt/sources.list"
apt() {
    apt-get -o Dir::Etc::SourceList="$place/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$place/apt/lists" -o Dir::Cache="$place/apt" -o APT::Sandbox::User=root "$@"
}
packages=(dav1d ffmpeg opencv)
apt update >"$place/log/apt" 2>&1
rm -rf "$place/source" "$place/build" "$place/prefix" "$place/lib" "$place/about"
mkdir -p "$place"/{source,build,prefix,lib,about}
(cd "$place/source" && apt source "${packages[@]}") >>"$place/log/apt" 2>&1 || {
    echo "wheel_media: Debian's sources could not be fetched: see $place/log/apt" >&2
    exit 2
}
source_of() { echo "$place/source/$1"-[0-9]*/; }
version_of() { dpkg-parsechangelog -l "$(source_of "$1")debian/changelog" -S Version; }

export PKG_CONFIG_PATH=$place/prefix/lib/pkgconfig
# Debian's own hardening; no folder of this machine in what is built.
flags="-g0 -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -ffile-prefix-map=$place=."
run() {
    echo "wheel_media: $1" >&2
    "${@:2}" >>"$place/log/$1" 2>&1 || {
        echo "wheel_media: failed; the end of $place/log/$1 says why" >&2
        exit 2
    }
}

# --- dav1d: AV1, linked into libavcodec ---------------------------------------------------------------------------

mkdir "$place/build/dav1d"
cd "$place/build/dav1d"
CFLAGS=$flags run dav1d meson setup . "$(source_of dav1d)" --buildtype=release --prefix="$place/prefix" --libdir=lib \
    --default-library=static -Denable_tools=false -Denable_tests=false
run dav1d ninja install

# --- FFmpeg: reads files, decodes; no encoder, no network, nothing under the GPL ----------------------------------

debian=$(version_of ffmpeg)
# The hypot of before glibc 2.35, so that this one is not asked for: it is for the scale of turned pictures.
echo '__asm__(".symver hypot,hypot@GLIBC_2.2.5");' >"$place/build/glibc.h"
ffmpeg=(
    --prefix="$place/prefix" --enable-shared --disable-static --extra-version="${debian#*-}"
    --extra-cflags="$flags -include $place/build/glibc.h"
    --extra-ldflags='-Wl,-z,relro -Wl,-z,now' --disable-debug --disable-doc --disable-programs --disable-autodetect
    --disable-network --disable-avdevice --disable-avfilter --disable-postproc --disable-swresample
    --disable-encoders --disable-muxers --disable-hwaccels --disable-protocols --enable-protocol=file
    --enable-zlib --enable-libdav1d
)
mkdir "$place/build/ffmpeg"
cd "$place/build/ffmpeg"
run ffmpeg "$(source_of ffmpeg)configure" "${ffmpeg[@]}"
run ffmpeg make -j"$(nproc)" install

# --- OpenCV: arrays and warps; the instruction sets of Debian's build, so that the same code runs -----------------

mkdir "$place/build/opencv"
cd "$place/build/opencv"
opencv=(
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$place/prefix" -DBUILD_LIST=core,imgproc
    -DCPU_BASELINE=SSE2 -DCPU_BASELINE_DISABLE=SSE3 -DBUILD_SHARED_LIBS=ON
    -DCMAKE_CXX_FLAGS_RELEASE="$flags -DNDEBUG" -DCMAKE_C_FLAGS_RELEASE="$flags -DNDEBUG"
    -DCMAKE_SKIP_RPATH=ON -DENABLE_PRECOMPILED_HEADERS=OFF -DOPENCV_DOWNLOAD_TRIES_LIST=
    -DBUILD_TESTS=OFF -DBUILD_PERF_TESTS=OFF -DBUILD_opencv_apps=OFF -DBUILD_JAVA=OFF
    -DBUILD_opencv_python2=OFF -DBUILD_opencv_python3=OFF
)
for part in 1394 ADE EIGEN FFMPEG GSTREAMER GTK IPP ITT JASPER JPEG LAPACK OPENCL OPENEXR OPENGL OPENJPEG PNG PROTOBUF \
    QT QUIRC TBB TIFF V4L VTK WEBP; do
    opencv+=("-DWITH_$part=OFF")
done
run opencv cmake -GNinja "${opencv[@]}" "$(source_of opencv)"
run opencv ninja install

# --- What the wheel takes -----------------------------------------------------------------------------------------

cd "$place"
for name in avcodec avformat avutil swscale opencv_core opencv_imgproc; do
    library=$(readlink -f "prefix/lib/lib$name.so")
    soname=$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\].*/\1/p')
    install -m 755 "$library" "lib/$soname"
    strip --strip-unneeded "lib/$soname"
done
for package in "${packages[@]}"; do
    cp "$(source_of "$package")debian/copyright" "about/$package.txt"
    echo "$package $(version_of "$package")"
done >about/versions
printf '%s\n' "${ffmpeg[@]}" | sed "s|$place|.|g" >about/ffmpeg-configuration
rm -rf build source apt
cp "$self" built-by
