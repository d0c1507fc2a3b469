# For the scripts beside it: Debian packages, where this user may install them.

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
can_install_debian() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
install_debian() {
  say "Installing Debian packages: $*"
  export DEBIAN_FRONTEND=noninteractive
  timeout 300 apt-get update -qq </dev/null &&
    timeout 900 apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}
