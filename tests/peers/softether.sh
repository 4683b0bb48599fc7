#!/bin/sh
# Runs SoftEther VPN Server with raw L2TPv3 over UDP in the network namespace that it is started in, its files in
# memory only. Prints READY when port 1701 is open. To be started by `unshare -m -p --fork --kill-child`.
set -e
root=$1
for directory in /run /var/lib /var/log; do mount -t tmpfs none "$directory"; done
mkdir -p /run/softether /var/lib/softether /var/log/softether
[ -d /usr/share/softether-common ] || mount -t overlay none -o "lowerdir=$root/usr/share:/usr/share" /usr/share
cd /var/lib/softether
"$root/usr/libexec/softether/vpnserver/vpnserver" execsvc >/dev/null 2>&1 &
tries=0
until "$root/usr/libexec/softether/vpncmd/vpncmd" 127.0.0.1:5555 /SERVER /CMD \
    IPsecEnable /L2TP:no /L2TPRAW:yes /ETHERIP:no /PSK:vpn /DEFAULTHUB:DEFAULT >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || exit 1
    sleep 0.2
done
until grep -q ':06A5 ' /proc/net/udp; do sleep 0.1; done
echo READY
wait
