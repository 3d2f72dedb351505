#!/bin/sh
# Steps of the Dockerfile's build stages: `install.sh packages ROLE`, then `install.sh tahini`.
# Bytecode goes into the image, where nothing can be written later; by hash, so that no clock or copy makes it stale.
set -eu
python=/opt/tahini/bin/python
lib=$(echo /opt/tahini/lib/python3*/site-packages)

pip() { /opt/pip/bin/pip --python "$python" --disable-pip-version-check "$@"; }
install() { pip install --no-input --no-cache-dir --no-compile --progress-bar off "$@"; }
compiled() { "$python" -m compileall -q -j 2 --invalidation-mode unchecked-hash "$@"; }

case "$1" in
packages)
    if [ "$2" = training ]; then  # the CPU build first, where an index has one; what follows leaves it alone
        install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$TORCH"
    fi
    python3 requirements.py "$2" pyproject.toml > wanted.txt
    install --requirement wanted.txt
    # Headers and other people's tests are a tenth of the image.
    rm -rf "$lib/torch/include"
    find "$lib" -type d -name tests -prune -exec rm -rf {} +
    compiled "$lib" > /dev/null || true  # some packages carry files for a newer Python
    ;;
tahini)
    install --no-deps .
    pip freeze > /opt/tahini/installed.txt
    # shellcheck disable=SC2046 # names of our own rooms, one word each
    (cd "$lib" && compiled tahini.py $(sed -n 's|^\([a-z]*\)/__init__.py,.*|\1|p' tahini-*.dist-info/RECORD))
    ;;
*)
    echo "install.sh: packages ROLE, or tahini" >&2
    exit 2
    ;;
esac
