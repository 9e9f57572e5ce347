"""Rules of a filter chain as somebody might add them with nft: every kind of match and statement. One rule a line."""

KINDS = r"""
counter
accept
drop
tcp dport 22 accept
udp dport 53 drop
ip saddr 10.0.0.1 counter
ip saddr != 10.0.0.1 counter
ip saddr 10.0.0.0/8 drop
ip saddr 10.16.0.0/12 drop
ip daddr 10.0.0.1-10.0.0.9 drop
ip saddr { 10.0.0.1, 10.0.0.2 } drop
ip saddr { 10.0.0.0/24, 10.1.0.0-10.1.0.7, 1.2.3.4 } drop
ip saddr != { 10.0.0.1, 10.0.0.2 } drop
ip6 saddr fd00::/64 accept
ip6 daddr fd00::1 tcp dport 80 accept
ip6 daddr { fd00::1, fd00::2 } tcp dport 80 accept
tcp dport { 80, 443 } accept
tcp dport { 1-10, 20-30, 99 } accept
tcp dport 1000-2000 accept
tcp dport != 80 drop
tcp dport >= 1024 drop
tcp dport < 1024 drop
tcp dport > 1024 drop
tcp sport 1 tcp dport 2 drop
ip saddr 1.2.3.4 ip daddr 5.6.7.8 drop
ct state new counter
ct state established,related accept
ct state invalid drop
ct state != established drop
ct state { new, established } accept
ct state vmap { established : accept, related : accept, invalid : drop }
ct status dnat counter
ct status & dnat == dnat counter
ct mark 5 accept
ct mark set 5
ct mark set meta mark
ct direction original counter
ct original ip daddr 10.0.1.10 counter
ct reply ip saddr 1.2.3.4 counter
ct helper "ftp" counter
ct expiration 30s counter
ct zone 5 counter
ct bytes > 1000 counter
ct packets > 10 counter
meta mark 1 accept
meta mark set 0x10
meta mark set ct mark
meta mark & 0xff == 1 accept
meta mark set meta mark | 0x10
meta mark set meta mark & 0xf0
meta mark set meta mark ^ 0x10
meta mark set meta mark & 0xff | 0x100
meta l4proto tcp counter
meta l4proto { tcp, udp } counter
meta l4proto { tcp, udp } th dport 53 accept
meta nfproto ipv4 counter
meta nfproto ipv4 tcp dport 80 counter
meta protocol ip counter
meta length > 1000 counter
meta pkttype broadcast drop
meta skuid 0 accept
meta skgid 5 accept
meta priority 1:2 counter
meta priority set 1:2
meta cpu 1 counter
meta iif "lo" accept
meta iiftype ether accept
meta random 5 counter
meta hour "10:00"-"11:00" counter
meta day "Monday" counter
meta time > "2020-01-01 00:00:00" counter
meta cgroup 5 counter
meta rtclassid 5 counter
iifname "front" accept
iifname "fr*" accept
iifname != "front" drop
iifname { "front", "back" } accept
oifname "back" accept
oif "lo" accept
log
log prefix "hello " level warn
log prefix "hi" group 2 snaplen 100 queue-threshold 3
log flags all
log flags tcp sequence,options
log flags ip options
log flags skuid
log level debug prefix "x"
limit rate 10/second accept
limit rate 10/minute burst 5 packets accept
limit rate over 1 mbytes/second drop
limit rate 10 kbytes/second burst 20 kbytes accept
limit rate over 5/hour drop
limit rate 1500 bytes/second accept
jump reg
goto reg
return
continue
reject
reject with tcp reset
reject with icmp type host-unreachable
reject with icmpx type admin-prohibited
reject with icmpv6 type no-route
ip saddr 1.2.3.4 reject
ip protocol tcp counter
ip protocol tcp tcp dport 22 counter
ip protocol { tcp, udp } counter
ip6 nexthdr tcp counter
ip ttl 64 counter
ip ttl < 5 counter
ip id 5 counter
ip length 100 counter
ip dscp cs1 counter
ip dscp af11 counter
ip dscp 0x3f counter
ip ecn ce counter
ip version 4 counter
ip hdrlength 5 counter
ip frag-off & 0x1fff != 0 counter
ip checksum 5 counter
ip6 hoplimit 64 counter
ip6 flowlabel 5 counter
tcp flags syn counter
tcp flags syn,ack counter
tcp flags & (fin|syn|rst|ack) == syn counter
tcp flags & (syn|ack) == syn|ack counter
tcp flags == syn counter
tcp flags != syn counter
tcp flags & syn != 0 counter
tcp flags { syn, ack } counter
tcp sequence 5 counter
tcp window 5 counter
tcp checksum 5 counter
tcp doff 5 counter
tcp option maxseg size 1400 counter
tcp option maxseg size set 1400
udp length 10 counter
udp checksum 10 counter
icmp type echo-request accept
icmp type { echo-request, echo-reply } accept
icmp code 1 counter
icmp type echo-request icmp id 5 counter
icmpv6 type nd-neighbor-solicit accept
icmpv6 type { nd-router-advert, echo-request } accept
ether saddr 00:11:22:33:44:55 counter
ether type ip counter
ip saddr . tcp dport { 1.2.3.4 . 80, 5.6.7.8 . 443 } accept
ip saddr . tcp dport vmap { 1.2.3.4 . 80 : accept, 5.6.7.8 . 443 : drop }
tcp dport vmap { 80 : jump reg, 443 : goto reg }
tcp dport vmap { 1-100 : jump reg, 443 : goto reg }
ip saddr vmap { 10.0.0.0/8 : accept, 192.168.0.0/16 : drop }
ip saddr @s4 drop
tcp dport @sp accept
tcp dport != @sp accept
ip saddr . tcp dport @sc accept
ip saddr vmap @mv
meta mark set tcp dport map { 80 : 1, 443 : 2 }
meta mark set tcp dport map @mm
counter name "cn"
quota name "qn"
limit name "ln"
quota over 10 mbytes drop
quota 5 kbytes accept
ct count over 10 drop
add @sd { ip saddr }
update @sdt { ip saddr timeout 10s } accept
add @sd { ip saddr limit rate 10/second } accept
add @sdt { ip saddr timeout 1m counter }
delete @sd { ip saddr }
numgen random mod 10 < 5 counter
numgen inc mod 2 vmap { 0 : jump reg, 1 : goto reg }
meta mark set numgen inc mod 4 offset 10
meta mark set jhash ip saddr mod 4 seed 0xdeadbeef
meta mark set jhash ip saddr . tcp sport mod 4
meta mark set symhash mod 4
jhash ip saddr mod 2 seed 0x1 vmap { 0 : jump reg, 1 : goto reg }
fib daddr type local counter
fib saddr . iif oif missing drop
fib saddr oif exists counter
socket transparent 1 counter
notrack
ip ttl set 10
tcp dport set 80
ip dscp set cs1
ip daddr set 1.2.3.4
meta nftrace set 1
ip saddr 1.2.3.4 tcp dport 80 counter log prefix "x" accept comment "all of it"
"""
