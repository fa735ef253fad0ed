#!/usr/bin/env bash
# Imports a stand-in for AWS's image `provided.al2023`, for a machine that cannot pull the real one. The stand-in has
# the C library of this machine and the runtime interface emulator of SAM CLI. It has 13 MB and takes less than a second.
#
# Usage: image.sh PYTHON    PYTHON is the interpreter that has aws-sam-cli
#
# Does nothing if the engine already has the image, or the real image that SAM CLI builds it from:
#   docker pull public.ecr.aws/lambda/provided:al2023-x86_64
set -euo pipefail
python=${1:?the Python interpreter that has aws-sam-cli}
image=public.ecr.aws/lambda/provided

for tag in al2023-rapid-x86_64 al2023-x86_64; do
  if docker image inspect "$image:$tag" >/dev/null 2>&1; then exit 0; fi
done

sam=$("$python" -c 'import os, samcli; print(os.path.dirname(samcli.__file__))')
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
libraries=lib/x86_64-linux-gnu
mkdir -p "$root"/{dev,etc/ssl/certs,lib64,opt,proc,root,sys,tmp,usr/bin,var/rapid,var/runtime,var/task} "$root/$libraries"
chmod 1777 "$root/tmp"

install -m755 "$sam/local/rapid/aws-lambda-rie-x86_64" "$root/var/rapid/aws-lambda-rie"
cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
for library in c m gcc_s pthread dl rt resolv nss_files nss_dns; do
  cp -L "/$libraries/lib$library".so.[0-9]* "$root/$libraries/"
done
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; fi
printf 'root:x:0:0:root:/root:/sbin/nologin\nsbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

tar -C "$root" -c . | docker import \
  --change 'ENV PATH=/usr/local/bin:/usr/bin/:/bin:/opt/bin' \
  --change 'ENV LD_LIBRARY_PATH=/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib' \
  --change 'ENV LAMBDA_TASK_ROOT=/var/task' \
  --change 'ENV LAMBDA_RUNTIME_DIR=/var/runtime' \
  --change 'WORKDIR /var/task' \
  - "$image:al2023-rapid-x86_64"
