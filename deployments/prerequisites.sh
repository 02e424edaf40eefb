#!/bin/sh
# What Overnight needs from the system; prints the Python to use, or what is missing and how to get it.
# PYTHON=/path/to/python chooses another one. With the word `browser` it wants the tests' browser too, and installs it
# where this user may and apt-get can.

sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo "

# install <Debian packages> <Fedora packages> <Homebrew or Apple command>: the command of this system
install() {
    if [ "$(uname -s)" = Darwin ]; then echo "$3"
    elif command -v apt-get >/dev/null; then echo "${sudo}apt-get install -y $1"
    elif command -v dnf >/dev/null; then echo "${sudo}dnf install -y $2"
    elif command -v pacman >/dev/null; then echo "${sudo}pacman -S --needed base-devel python"
    elif command -v zypper >/dev/null; then echo "${sudo}zypper install -y $2"
    elif command -v apk >/dev/null; then echo "${sudo}apk add build-base python3 linux-headers"
    else echo "your system's package manager: $1"
    fi
}

missing() {
    echo "missing: $1" >&2
    echo "install: $2" >&2
    failed=1
}

# any <command> ...: whether one of them is there
any() {
    for name in "$@"; do
        command -v "$name" >/dev/null && return
    done
    return 1
}

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

failed=0
python=""
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if command -v "$candidate" >/dev/null && recent "$candidate"; then
        python=$("$candidate" -c 'import sys; print(sys.executable)')
        break
    fi
done

if [ -z "$python" ]; then
    missing "Python 3.11 or later${PYTHON:+ ($PYTHON is not)}" "$(install 'python3.11 python3.11-venv' python3.11 'brew install python@3.12')"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    missing "the venv module of Python $version" "$(install "python$version-venv" python3 "brew install python@$version")"
fi

# llama.cpp is compiled on this machine: it has no wheels
if [ "$(uname -s)" = Darwin ]; then  # there, cc exists before the compiler does
    xcode-select -p >/dev/null 2>&1 || missing "a C/C++ compiler" "xcode-select --install"
elif ! any ${CC:-cc gcc clang} || ! any ${CXX:-c++ g++ clang++}; then
    missing "a C/C++ compiler" "$(install 'gcc g++' 'gcc gcc-c++' '')"
fi

has_browser() { any chromium chromium-browser google-chrome; }

get_browser() {
    command -v apt-get >/dev/null || return
    echo "Installing Chromium for the tests: apt-get install -y chromium"
    root="${sudo:+sudo -n}"
    $root apt-get -qq update && DEBIAN_FRONTEND=noninteractive $root apt-get -qq install -y --no-install-recommends chromium
} >&2

if [ "${1:-}" = browser ] && ! has_browser && ! { get_browser && has_browser; }; then
    missing "Chromium, in which the rating page is tested" "$(install chromium chromium 'brew install --cask chromium')"
fi

[ "$failed" = 0 ] || exit 1
echo "$python"
