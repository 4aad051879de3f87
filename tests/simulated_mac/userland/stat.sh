#!/.simulated-mac/debian/usr/bin/dash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash source=strict.sh
# stat -f FORMAT, as BSD has it; -c and --format are GNU's (macos_commands §6)
name='stat'
. /.simulated-mac/userland/strict.sh
strict FLnq f "$@"
format='' links='' newline='\n' given=''
while getopts FLnqf: option; do
  case $option in
    f) format=$OPTARG given=1 ;;
    L) links=-L ;;
    n) newline='' ;;
    *) refuse "-$option" "$@" ;;
  esac
done
[ -n "$given" ] || refuse "without -f" "$@"
shift $((OPTIND - 1))
left=$format translated=''
while [ -n "$left" ]; do
  case $left in
    # GNU has the mode in one piece: it is marked here, and cut below.
    %Lp*) translated=$translated'\1%04a\1' left=${left#%Lp} ;;
    %OLp*) translated=$translated'\1%04a\1' left=${left#%OLp} ;;
    %Mp*) translated=$translated'\2%04a\2' left=${left#%Mp} ;;
    %Sp*) translated=$translated%A left=${left#%Sp} ;;
    %Su*) translated=$translated%U left=${left#%Su} ;;
    %Sg*) translated=$translated%G left=${left#%Sg} ;;
    %HT*) translated=$translated%F left=${left#%HT} ;;
    %u*) translated=$translated%u left=${left#%u} ;;
    %g*) translated=$translated%g left=${left#%g} ;;
    %z*) translated=$translated%s left=${left#%z} ;;
    %m*) translated=$translated%Y left=${left#%m} ;;
    %a*) translated=$translated%X left=${left#%a} ;;
    %c*) translated=$translated%Z left=${left#%c} ;;
    %l*) translated=$translated%h left=${left#%l} ;;
    %d*) translated=$translated%d left=${left#%d} ;;
    %i*) translated=$translated%i left=${left#%i} ;;
    %N*) translated=$translated%n left=${left#%N} ;;
    %n*) translated=$translated'\n' left=${left#%n} ;;
    %t*) translated=$translated'\t' left=${left#%t} ;;
    %%*) translated=$translated%% left=${left#%%} ;;
    %*) refuse "format $left is not modelled" "$@" ;;
    *) translated=$translated${left%"${left#?}"} left=${left#?} ;;
  esac
done
case $format in
  *%HT* | *%Lp* | *%OLp* | *%Mp*) ;;
  *) exec "$hidden/bin/stat" ${links:+"$links"} --printf "$translated$newline" -- "$@" ;;
esac
said=$("$hidden/bin/stat" ${links:+"$links"} --printf "$translated$newline" -- "$@"; status=$?; printf .; exit "$status")
status=$?
case $format in
  # GNU writes "regular file" and "directory" where BSD has them with capitals.
  *%HT*) types='s/regular empty file/Regular File/; s/regular file/Regular File/; s/directory/Directory/; s/symbolic link/Symbolic Link/; s/character special file/Character Device/; s/block special file/Block Device/; s/fifo/Fifo File/; s/socket/Socket/' ;;
  *) types='' ;;
esac
printf %s "${said%.}" |
  "$hidden/bin/sed" -E "s/\x01[0-7]0{0,2}([0-7]+)\x01/\1/g; s/\x02([0-7])[0-7]{3}\x02/\1/g; $types"
exit "$status"
